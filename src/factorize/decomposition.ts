/** What a decomposition is: a weight in, the weights of a chain of layers out, and what each choice of ranks costs and loses. */
import type { Miss } from "../errors.ts";
import type { Matrix, Multiply } from "../math/index.ts";

/** A layer as numbers. */
export interface Problem {
  /** Outputs × (inputs · taps), a matrix for each group. */
  readonly matrices: readonly Matrix[];
  /** The kernel's size along each axis of the window; none of a plain matrix. */
  readonly kernel: readonly number[];
  /** Places that come in for each that goes out, along each axis of the window: its strides, or a little more at borders without padding. */
  readonly reduction: readonly number[];
  /** XᵀX (inputs · taps squared) of what comes into each group, where samples were looked at. */
  readonly grams?: readonly Matrix[];
  readonly multiply: Multiply;
  readonly seed: number;
}

/** A layer of the chain: `matrices` as those of the problem, over the taps of its own window. */
export interface Part {
  readonly name: string;
  readonly matrices: readonly Matrix[];
  /** The axes of the layer's window along which it slides. */
  readonly window: readonly number[];
}

export interface Cost {
  readonly weights: number;
  /** Multiply-accumulates for each place of the layer's output. */
  readonly macs: number;
}

/** One choice of ranks. */
export interface Step extends Cost {
  readonly ranks: readonly number[];
  /** The share of the squared norm that it loses, or at most. */
  readonly lost: number;
}

/** A decomposition of one layer whose spectrum is known. */
export interface Prepared {
  /** From the least to the largest, each of which costs more and loses no more. */
  readonly steps: readonly Step[];
  /** The step of a rank that a user gives. */
  at(rank: number): Step;
  /** The ranks above the noise (EVBMF). */
  aboveNoise(): Step | Miss;
  factors(step: Step): Promise<{ readonly parts: readonly Part[]; readonly relativeError: number }>;
}

export interface Decomposition {
  readonly id: string;
  readonly summary: string;
  /** A Miss where it makes nothing of such a layer. */
  prepare(problem: Problem): Promise<Prepared | Miss>;
}

export const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** What layers in a row cost: each has so many weights, and slides along `window`. */
export function chainCost(
  { reduction }: Problem,
  parts: readonly { readonly weights: number; readonly window: readonly number[] }[],
): Cost {
  const slid = new Set<number>();
  let [weights, macs] = [0, 0];
  for (const part of parts) {
    for (const axis of part.window) slid.add(axis);
    weights += part.weights;
    macs += part.weights * product(reduction.filter((_, axis) => !slid.has(axis)));
  }
  return { weights, macs };
}

/** ‖W - Ŵ‖ / ‖W‖ over all groups, from the errors of each. */
export function together(errors: readonly number[], norms: readonly number[]): number {
  const whole = Math.hypot(...norms);
  return whole === 0 ? 0 : Math.hypot(...errors.map((error, group) => error * (norms[group] ?? 0))) / whole;
}

/** Shares of the whole squared norm that are lost by keeping 0, 1, 2, … values of each group. */
export function tails(shares: readonly Float64Array[], norms: readonly number[]): Float64Array {
  const whole = Math.hypot(...norms);
  const lost = new Float64Array(Math.max(...shares.map(({ length }) => length)) + 1);
  for (const [group, own] of shares.entries()) {
    const part = whole === 0 ? 0 : ((norms[group] ?? 0) / whole) ** 2;
    let sum = 0;
    for (let rank = own.length - 1; rank >= 0; rank--) {
      sum += own[rank] ?? 0;
      lost[rank] = (lost[rank] ?? 0) + part * sum;
    }
  }
  return lost;
}
