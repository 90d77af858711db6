/**
 * What is known of the inputs of layers from samples, as the S by which a decomposition weighs them: what it loses is ‖(W - Ŵ) S‖.
 *
 *     whitening   S Sᵀ = XᵀX: the squared error of the layer's outputs, exactly (Wang et al. 2024, "SVD-LLM", arXiv 2403.07378)
 *     asvd        S = diag(mean |x|^α), α = 1/2: inputs count by their size alone (Yuan et al. 2023, "ASVD", arXiv 2312.05821)
 *
 * Layers are looked at in their order in the model that changes: each sees what those before it have become.
 */

import type { Layer } from "../analysis/layers.ts";
import { type Calibration, calibrate, gramMatrices, type Statistic } from "../calibrate/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Matrix, type Multiply, matrix, squareRoot } from "../math/index.ts";
import type { Context } from "../passes/index.ts";
import type { FactorizeOptions } from "./options.ts";

interface Weighing {
  readonly summary: string;
  weigh(calibration: Calibration, layer: Layer, multiply: Multiply): Promise<readonly Matrix[] | Miss>;
}

const table = {
  whitening: {
    summary: "by the Gram matrix of its inputs (SVD-LLM)",
    async weigh(calibration, layer, multiply) {
      const gram = await calibration.collect(layer, gramMatrices(multiply));
      if (gram instanceof Miss) return gram;
      return Promise.all(gram.groups.map((group) => squareRoot(group, multiply)));
    },
  },
  asvd: {
    summary: "by the mean magnitude of each input (ASVD)",
    async weigh(calibration, layer) {
      const means = await calibration.collect(layer, meanMagnitudes);
      return means instanceof Miss ? means : means.map((group) => diagonal(group.map(Math.sqrt)));
    },
  },
} as const satisfies Record<string, Weighing>;

export type Activations = keyof typeof table;
export const activations = Object.keys(table) as readonly Activations[];
export const weighings: Readonly<Record<Activations, Weighing>> = table;

/** What layers' inputs are weighed by; undefined of all, where they are not. Layers are asked for in their order. */
export interface Inputs {
  of(layer: Layer): Promise<readonly Matrix[] | Miss | undefined>;
  release(): Promise<void>;
}

/** @throws PithError E_OPTION if there are no samples to look at. */
export async function inputsOf(
  model: Model,
  options: Pick<FactorizeOptions, "activations" | "data" | "samples">,
  multiply: Multiply,
  context: Context,
): Promise<Inputs> {
  const { activations: by, data, samples } = options;
  if (by === undefined) return { of: async () => undefined, release: async () => {} };
  if (data === undefined)
    throw new PithError("E_OPTION", `"data": ${by} needs samples, and none are given.`, { hint: "Give a data set." });
  const seen = await calibrate(model, { data, samples }, context);
  return { of: (layer) => weighings[by].weigh(seen, layer, multiply), release: () => seen.release() };
}

function diagonal(values: Float64Array): Matrix {
  const result = matrix(values.length, values.length);
  for (const [at, value] of values.entries()) result.data[at * (values.length + 1)] = value;
  return result;
}

/** Of each group the mean magnitude of each column. */
const meanMagnitudes: Statistic<readonly Float64Array[]> = {
  begin() {
    let rows = 0;
    const sums: Float64Array[] = [];
    return {
      add(batch) {
        rows += batch.rows;
        for (let group = 0; group < batch.groups; group++) {
          const { data, columns } = batch.matrix(group);
          const sum = sums[group] ?? new Float64Array(columns);
          sums[group] = sum;
          for (let at = 0; at < data.length; at++)
            sum[at % columns] = (sum[at % columns] ?? 0) + Math.abs(data[at] ?? 0);
        }
      },
      end: () => sums.map((sum) => sum.map((value) => value / rows)),
    };
  },
};
