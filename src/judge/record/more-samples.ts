/** Advises how many samples narrow the interval of a loss to the goal. */

import type { Estimate, Unit } from "../../core/estimate.ts";
import { allowance, counted, integer } from "../../core/numbers.ts";
import type { Goal } from "../compare/compare.ts";

/** Numbers of samples that the verdict did not use. */
export interface Others {
  /** Validation samples. */
  readonly validation?: number | undefined;
  /** Samples of a search: as many as the test has, up to a limit. */
  readonly searched?: number | undefined;
  /** Total, if --samples drew some. */
  readonly available?: number | undefined;
  /** Total, if fewer seemed enough. */
  readonly of?: number | undefined;
}

/** Fewer samples show too little of the width of the interval. */
export const minToDecide = 30;
const enoughToDecide = 100;

/**
 * Returns advice such as "--samples left out 700 of the 1,000 there are: --samples 1000 uses all"; "about 1,500 samples, more than the 1,000 there are, narrow the interval
 * to ±1.0 points". The number includes validation and search samples. It follows from the width of the interval: how many samples decide depends on
 * the true loss, which is unknown.
 */
export function moreSamples(
  { count, low, high }: Estimate,
  { maxDrop }: Goal,
  unit: Unit,
  { validation = 0, searched = 0, available, of }: Others,
): string {
  const used = count + validation;
  const total = used + searched;
  // The width of the interval shrinks with the root of the number of samples.
  const widthRatio = maxDrop === 0 ? 0 : (high - low) / 2 / maxDrop;
  const enough = used * widthRatio ** 2;
  // The halves of a search differ by one sample, unless the search half is at its limit.
  const needed = roundUp(enough + (searched < used - 1 ? searched : enough));
  if (count < minToDecide) {
    const number = Math.max(enoughToDecide, Number.isFinite(needed) ? needed : 0);
    const advice = number <= (available ?? 0) ? `pass --samples ${number}` : `provide ${integer(number)} or more`;
    return `${counted(count, "sample")} ${count === 1 ? "is" : "are"} too few to decide; ${advice}`;
  }
  const close = widthRatio > 1 ? [] : ["the loss is close to the limit"];
  const narrowed = `the interval to ±${allowance(unit, maxDrop)}`;
  if (available !== undefined && available > total) {
    const isEnough = widthRatio > 1 && needed < available;
    const advice = isEnough ? `--samples ${needed} narrows ${narrowed}` : `--samples ${available} uses all`;
    return [
      ...close,
      `--samples left out ${integer(available - total)} of the ${integer(available)} there are: ${advice}`,
    ].join("; ");
  }
  if (close.length > 0 || !Number.isFinite(needed)) return close.join("");
  return `about ${integer(needed)} samples, more than the ${integer(of ?? total)} there are, narrow ${narrowed}`;
}

/** Rounds up to two significant digits. */
function roundUp(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.ceil(value / unit) * unit;
}
