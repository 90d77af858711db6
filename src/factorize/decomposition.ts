/** A decomposition turns a weight into the weights of a chain of layers, and says what each choice of ranks costs and loses. */
import type { Miss } from "../errors.ts";
import { frobenius, type Matrix, type Multiply } from "../math/index.ts";

/** A layer as a decomposition sees it. */
export interface Problem {
  /** Outputs × (inputs · taps), a matrix for each group. */
  readonly matrices: readonly Matrix[];
  /** The kernel's size along each axis of the window; none of a plain matrix. */
  readonly kernel: readonly number[];
  /** Input positions for each output position along each axis of the window: the strides, or slightly more without padding. */
  readonly reduction: readonly number[];
  /** The weight is an embedding table: the first layer of the chain looks rows up, without multiply-accumulates. */
  readonly lookup: boolean;
  /** Ranks are chosen among multiples of this, and the full rank. */
  readonly multiple: number;
  /**
   * The S (inputs · taps × any) that weighs each group's inputs, if they were measured on samples: the error is ‖(W - Ŵ) S‖ instead of ‖W - Ŵ‖.
   */
  readonly inputs?: readonly Matrix[] | undefined;
  readonly multiply: Multiply;
  readonly seed: number;
}

/** A layer of the chain: the rows and columns of its matrices, one for each group, over the taps of its own window. */
export interface PartShape {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** The axes of the layer's window along which it slides. */
  readonly window: readonly number[];
}

export interface Part extends Pick<PartShape, "name" | "window"> {
  readonly matrices: readonly Matrix[];
}

export interface Cost {
  readonly weights: number;
  /** Multiply-accumulates for each position of the layer's output. */
  readonly macs: number;
}

/** One choice of ranks. */
export interface Step extends Cost {
  readonly ranks: readonly number[];
  readonly parts: readonly PartShape[];
  /** The share of the squared norm that it loses, or an upper bound; left out if singular values were not computed. */
  readonly lost?: number;
}

/** The choices of ranks, by the singular values of a layer's weight. */
export interface Spectrum {
  /** By rising cost, and loss that does not rise. */
  readonly steps: readonly Step[];
  /** The step of the ranks above the noise (EVBMF). */
  aboveNoise(): Step | Miss;
}

export interface Decomposition {
  readonly summary: string;
  /** Why it cannot decompose such a layer, if so. */
  refuses(problem: Problem): Miss | undefined;
  /** The step of the given rank, or of the full rank if that is lower. */
  at(problem: Problem, rank: number): Step;
  /** The steps of a spectrum without their losses, where they do not depend on the singular values. */
  steps?(problem: Problem): readonly Step[];
  /** Computes all singular values: minutes, for thousands of rows and columns. */
  spectrum(problem: Problem): Promise<Spectrum>;
  factors(problem: Problem, step: Step): Promise<FactorChain>;
}

export interface FactorChain {
  readonly parts: readonly Part[];
  readonly relativeError: number;
}

/** The matrices of each part, in their order. */
export const withMatrices = (parts: readonly PartShape[], matrices: readonly (readonly Matrix[])[]): readonly Part[] =>
  parts.map(({ name, window }, at) => ({ name, window, matrices: matrices[at] ?? [] }));

export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

export function chainCost({ matrices, reduction, lookup }: Problem, parts: readonly Omit<PartShape, "name">[]): Cost {
  const slid = new Set<number>();
  let [weights, macs] = [0, 0];
  for (const [place, { rows, columns, window }] of parts.entries()) {
    for (const axis of window) slid.add(axis);
    const own = matrices.length * rows * columns;
    weights += own;
    if (place > 0 || !lookup) macs += own * product(reduction.filter((_, axis) => !slid.has(axis)));
  }
  return { weights, macs };
}

export function wholeCost(problem: Problem): Cost {
  const [{ rows, columns } = { rows: 0, columns: 0 }] = problem.matrices;
  return chainCost(problem, [{ rows, columns, window: problem.kernel.map((_, axis) => axis) }]);
}

/** The ranks to choose from: multiples up to `full`, and `full`. */
export function ranksUpTo(full: number, multiple: number): readonly number[] {
  const found = Array.from({ length: Math.floor(full / multiple) }, (_, index) => (index + 1) * multiple);
  return found.at(-1) === full ? found : [...found, full];
}

/** W, or W S if its inputs are weighed. */
export async function weighed(weight: Matrix, group: number, { inputs, multiply }: Problem): Promise<Matrix> {
  const by = inputs?.[group];
  return by === undefined ? weight : multiply(weight, by);
}

/** ‖W - Ŵ‖ / ‖W‖ over all groups, from the relative error of each. */
export async function errorOfGroups(errors: readonly number[], problem: Problem): Promise<number> {
  if (errors.length === 1) return errors[0] ?? 0;
  const counting = await Promise.all(problem.matrices.map((one, group) => weighed(one, group, problem)));
  const shares = shareOfGroups(counting.map(frobenius));
  return Math.sqrt(errors.reduce((sum, error, group) => sum + error * error * (shares[group] ?? 0), 0));
}

/** Shares of the whole squared norm that groups of these norms hold. */
export function shareOfGroups(norms: readonly number[]): readonly number[] {
  const whole = Math.hypot(...norms);
  return norms.map((norm) => (whole === 0 ? 0 : (norm / whole) ** 2));
}
