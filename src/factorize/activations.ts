/**
 * Statistics of layer inputs as a matrix S; a decomposition minimizes ‖(W - Ŵ) S‖.
 *
 *     whitening   S Sᵀ = XᵀX: exactly the squared error of the outputs (Wang et al. 2024, "SVD-LLM", arXiv 2403.07378)
 *     asvd        S = diag(mean |x|^α), α = 1/2 (Yuan et al. 2023, "ASVD", arXiv 2312.05821)
 *
 * A ridge on XᵀX gives inputs that are 0 on all samples a millionth of the mean weight, because they can be nonzero later. Layers
 * are measured in order, after earlier layers are factorized.
 */

import type { Layer } from "../analysis/layers.ts";
import { type Calibration, calibrate, gramMatrices, type Statistic } from "../calibrate/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Matrix, type Multiply, matrix, squareRoot } from "../math/index.ts";
import type { Context } from "../passes/index.ts";
import type { FactorizeOptions } from "./options.ts";

interface Weighing {
  /** What ‖(W - Ŵ) S‖ / ‖W S‖ is the relative error of, for messages. */
  readonly errorOf: string;
  weigh(calibration: Calibration, readers: readonly Layer[], multiply: Multiply): Promise<Weights | Miss>;
}

interface Weights {
  /** S of each group. */
  readonly roots: readonly Matrix[];
  readonly rows: number;
}

const table = {
  whitening: {
    errorOf: "outputs",
    async weigh(calibration, readers, multiply) {
      const gram = await calibration.collect(readers, gramMatrices);
      if (gram instanceof Miss) return gram;
      requireNumbers(readers, gram.groups);
      const least = leastOf(gram.groups.map(({ data, columns }) => data.filter((_, at) => at % (columns + 1) === 0)));
      if (least instanceof Miss) return least;
      const roots = gram.groups.map((group) => squareRoot(withRidge(group, least), multiply));
      return { roots: await Promise.all(roots), rows: gram.rows };
    },
  },
  asvd: {
    errorOf: "weighted weights",
    async weigh(calibration, readers) {
      const means = await calibration.collect(readers, meanMagnitudes);
      if (means instanceof Miss) return means;
      const least = leastOf(means);
      if (least instanceof Miss) return least;
      const roots = means.map((group) => diagonal(group.map((mean) => Math.sqrt(mean + least))));
      requireNumbers(readers, roots);
      // One row gives a magnitude for every input, so any number suffices.
      return { roots, rows: Number.POSITIVE_INFINITY };
    },
  },
} as const satisfies Record<string, Weighing>;

export type Activations = keyof typeof table;
export const activations = Object.keys(table) as readonly Activations[];
export const weighings: Readonly<Record<Activations, Weighing>> = table;

/** Input statistics of layers; undefined if not requested. Layers must be requested in order, with those that share the weight. */
export interface Inputs {
  of(readers: readonly Layer[]): Promise<Weights | Miss | undefined>;
  release(): Promise<void>;
}

/** @throws PithError E_OPTION without samples. */
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
  return { of: (readers) => weighings[by].weigh(seen, readers, multiply), release: () => seen.release() };
}

const sum = (values: Float64Array): number => values.reduce((all, value) => all + value, 0);

function leastOf(sizes: readonly Float64Array[]): number | Miss {
  const [{ length } = []] = sizes;
  const least = (1e-6 * sum(Float64Array.from(sizes, sum))) / (length * sizes.length);
  return least === 0 ? new Miss("its inputs are 0 on all samples") : least;
}

/** @throws PithError E_DATA if the samples give a layer NaN or infinite inputs. */
function requireNumbers(readers: readonly Layer[], groups: readonly Matrix[]): void {
  if (groups.every(({ data }) => data.every(Number.isFinite))) return;
  const names = readers.map(({ name }) => `"${name}"`).join(", ");
  throw new PithError("E_DATA", `Inputs of ${names} are NaN or infinite on the samples.`);
}

function withRidge({ rows, columns, data }: Matrix, least: number): Matrix {
  return matrix(
    rows,
    columns,
    data.map((value, at) => (at % (columns + 1) === 0 ? value + least : value)),
  );
}

function diagonal(values: Float64Array): Matrix {
  const result = matrix(values.length, values.length);
  for (const [at, value] of values.entries()) result.data[at * (values.length + 1)] = value;
  return result;
}

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
