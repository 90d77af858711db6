/**
 * Computes the whitening of a layer's inputs X: a matrix S with S Sᵀ = XᵀX. A decomposition minimizes ‖(W - Ŵ) S‖, which is the error of
 * the outputs (Wang et al. 2024, "SVD-LLM", arXiv 2403.07378). A ridge on XᵀX keeps inputs that are 0 on all samples.
 */
import type { Layer } from "#analysis";
import { dataError, Miss, type Model, optionError } from "#ir";
import type { Context } from "#pass";
import { type Matrix, type Multiply, matrix } from "../../core/math/matrix.ts";
import { type Calibration, calibrate } from "../calibrate/calibration.ts";
import { gramMatrices } from "../calibrate/gram.ts";
import type { FactorizeOptions } from "./options.ts";
import { squareRoot } from "./whiten.ts";

export const activations = ["whitening"] as const;

interface Whitening {
  /** S of each group. */
  readonly roots: readonly Matrix[];
  readonly rows: number;
}

/** Measures input statistics of layers; undefined if none are requested. Layers must be requested in order, with those that share their weight. */
export interface InputStatistics {
  of(readers: readonly Layer[]): Promise<Whitening | Miss | undefined>;
  release(): Promise<void>;
}

/** @throws PithError E_OPTION without samples. */
export async function inputStatisticsOf(
  model: Model,
  options: Pick<FactorizeOptions, "activations" | "data" | "samples">,
  multiply: Multiply,
  context: Context,
): Promise<InputStatistics> {
  const { activations: method, data, samples } = options;
  if (method === undefined) return { of: async () => undefined, release: async () => {} };
  if (data === undefined)
    throw optionError(`"data": ${method} needs samples, and none are given.`, { hint: "Give a data set." });
  const calibration = await calibrate(model, { data, samples }, context);
  return { of: (readers) => computeWhitening(calibration, readers, multiply), release: () => calibration.release() };
}

async function computeWhitening(
  calibration: Calibration,
  readers: readonly Layer[],
  multiply: Multiply,
): Promise<Whitening | Miss> {
  const gram = await calibration.collect(readers, gramMatrices);
  if (gram instanceof Miss) return gram;
  requireFinite(readers, gram.groups);
  const diagonals = gram.groups.flatMap(({ data, columns }) => [
    ...data.filter((_, index) => index % (columns + 1) === 0),
  ]);
  const ridge = (1e-6 * diagonals.reduce((sum, entry) => sum + entry, 0)) / diagonals.length;
  if (ridge === 0) return new Miss("its inputs are 0 on all samples");
  const roots = gram.groups.map((group) => squareRoot(withRidge(group, ridge), multiply));
  return { roots: await Promise.all(roots), rows: gram.rows };
}

/** @throws PithError E_DATA if the samples give a layer NaN or infinite inputs. */
function requireFinite(readers: readonly Layer[], groups: readonly Matrix[]): void {
  if (groups.every(({ data }) => data.every(Number.isFinite))) return;
  const names = readers.map(({ name }) => `"${name}"`).join(", ");
  throw dataError(`Inputs of ${names} are NaN or infinite on the samples.`);
}

function withRidge({ rows, columns, data }: Matrix, ridge: number): Matrix {
  return matrix(
    rows,
    columns,
    data.map((value, index) => (index % (columns + 1) === 0 ? value + ridge : value)),
  );
}
