/** Interface of decompositions: they convert a weight to a chain of layers, and state cost and loss of each rank. */
import { blockWidth } from "#analysis";
import type { Miss } from "#ir";
import { frobenius, type Matrix, type Multiply } from "../../core/math/matrix.ts";

export interface Problem {
  /** A matrix [outputs, inputs · taps] per group; taps are the kernel positions. */
  readonly matrices: readonly Matrix[];
  /** Kernel size along each window axis; empty for a matrix. */
  readonly kernel: readonly number[];
  /** Input positions per output position along each window axis. */
  readonly reduction: readonly number[];
  /** Whether the weight is an embedding table: the first layer of the chain is a lookup without multiply-accumulates. */
  readonly lookup: boolean;
  /** Input weights S of each group (inputs · taps × any), if measured: the error is ‖(W - Ŵ) S‖ instead of ‖W - Ŵ‖. */
  readonly inputs?: readonly Matrix[] | undefined;
  /** Whether all ranks are possible, instead of those that fill blocks of channels. */
  readonly anyRank?: boolean;
  readonly multiply: Multiply;
  readonly seed: number;
}

/** The shape of a layer of the chain: the size of its matrices, one per group. Columns include the kernel positions. */
export interface PartShape {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** The window axes along which the layer slides. */
  readonly window: readonly number[];
}

export interface Part extends Pick<PartShape, "name" | "window"> {
  readonly matrices: readonly Matrix[];
}

export interface Cost {
  readonly weights: number;
  /** Multiply-accumulates per position of the layer's output. */
  readonly macs: number;
}

export interface Step extends Cost {
  readonly rank: number;
  readonly parts: readonly PartShape[];
  /** Share of the squared norm that truncation removes, or an upper bound of it; undefined without singular values. */
  readonly lost?: number;
}

export interface Decomposition {
  readonly summary: string;
  refuses(problem: Problem): Miss | undefined;
  /** Returns the step of a rank, limited to the full rank. */
  stepOfRank(problem: Problem, rank: number): Step;
  /** Returns the possible steps without losses. */
  steps(problem: Problem): readonly Step[];
  /** Computes all singular values. @returns steps by increasing cost. */
  spectrum(problem: Problem): Promise<readonly Step[]>;
  factors(problem: Problem, step: Step): Promise<{ readonly parts: readonly Part[]; readonly relativeError: number }>;
}

export const withMatrices = (parts: readonly PartShape[], matrices: readonly (readonly Matrix[])[]): readonly Part[] =>
  parts.map(({ name, window }, index) => ({ name, window, matrices: matrices[index] ?? [] }));

export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

export function chainCost({ matrices, reduction, lookup }: Problem, parts: readonly Omit<PartShape, "name">[]): Cost {
  const slidAxes = new Set<number>();
  let [weights, macs] = [0, 0];
  for (const [index, { rows, columns, window }] of parts.entries()) {
    for (const axis of window) slidAxes.add(axis);
    const size = matrices.length * rows * columns;
    weights += size;
    if (index > 0 || !lookup) macs += size * product(reduction.filter((_, axis) => !slidAxes.has(axis)));
  }
  return { weights, macs };
}

export function wholeCost(problem: Problem): Cost {
  const [{ rows, columns } = { rows: 0, columns: 0 }] = problem.matrices;
  return chainCost(problem, [{ rows, columns, window: problem.kernel.map((_, axis) => axis) }]);
}

/** Runtimes compute blocks of channels, so ranks of wide layers are by default multiples of 16 or 8; lower ones are powers of 2. */
export function ranksUpTo(full: number, { matrices: [first], kernel, anyRank = false }: Problem): readonly number[] {
  const width = Math.min(first?.rows ?? 0, (first?.columns ?? 0) / product(kernel));
  const block = anyRank || width < blockWidth ? 1 : width < 8 * blockWidth ? blockWidth / 2 : blockWidth;
  return Array.from({ length: full }, (_, index) => index + 1).filter(
    (rank) => rank === full || rank % block === 0 || (rank < block && Number.isInteger(Math.log2(rank))),
  );
}

/** Returns W, or W S with input weights. */
export async function applyInputWeights(weight: Matrix, group: number, { inputs, multiply }: Problem): Promise<Matrix> {
  const inputWeights = inputs?.[group];
  return inputWeights === undefined ? weight : multiply(weight, inputWeights);
}

/** Returns ‖W - Ŵ‖ / ‖W‖ over all groups from the relative error of each group. */
export async function errorOfGroups(errors: readonly number[], problem: Problem): Promise<number> {
  if (errors.length === 1) return errors[0] ?? 0;
  const weightedMatrices = await Promise.all(
    problem.matrices.map((weight, group) => applyInputWeights(weight, group, problem)),
  );
  const shares = shareOfGroups(weightedMatrices.map(frobenius));
  return Math.sqrt(errors.reduce((sum, error, group) => sum + error * error * (shares[group] ?? 0), 0));
}

export function shareOfGroups(norms: readonly number[]): readonly number[] {
  const total = Math.hypot(...norms);
  return norms.map((norm) => (total === 0 ? 0 : (norm / total) ** 2));
}
