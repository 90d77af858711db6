/** Advises how many samples narrow the interval of a drop to the goal. */
import { allowance, counted, type Estimate, integer, type Unit } from "#ir";
import type { Goal } from "../compare/goal.ts";

/** Samples that the verdict did not use, or that were available. */
export interface UnusedSamples {
  readonly validation?: number | undefined;
  readonly searched?: number | undefined;
  /** Undefined unless --samples limited the used samples. */
  readonly available?: number | undefined;
  /** Total number of samples, if interim looks used fewer. */
  readonly of?: number | undefined;
}

export const minSamplesToDecide = 30;
const samplesThatDecide = 100;

/** Returns "700 of the 1,000 samples were not used (--samples 1000 uses all)". Uses the interval's width, because the true drop is unknown. */
export function adviseOnSamples(
  { value, count, low, high }: Estimate,
  { maxDrop }: Goal,
  unit: Unit,
  { validation = 0, searched = 0, available, of }: UnusedSamples,
): string {
  const usedCount = count + validation;
  const total = usedCount + searched;
  // The width of the interval is proportional to 1/√n for n samples.
  const widthRatio = maxDrop === 0 ? 0 : (high - low) / 2 / maxDrop;
  const testSamplesNeeded = usedCount * widthRatio ** 2;
  // A search divides the samples into halves, so it needs as many as the test.
  const samplesNeeded = roundUp(testSamplesNeeded + (searched < usedCount - 1 ? searched : testSamplesNeeded));
  if (count < minSamplesToDecide) {
    const minCount = Math.max(samplesThatDecide, Number.isFinite(samplesNeeded) ? samplesNeeded : 0);
    const advice = minCount <= (available ?? 0) ? ` (--samples ${minCount})` : "";
    return `${counted(count, "sample")} ${count === 1 ? "is" : "are"} too few to decide; at least ${integer(minCount)} are needed${advice}`;
  }
  const beyondLimit = widthRatio > 1 ? [] : ["the interval reaches beyond the limit"];
  const narrowed = `the interval to ±${allowance(unit, maxDrop)}`;
  if (available !== undefined && available > total) {
    const isEnough = widthRatio > 1 && samplesNeeded < available;
    const advice = isEnough ? `--samples ${samplesNeeded} narrows ${narrowed}` : `--samples ${available} uses all`;
    return [
      ...beyondLimit,
      `${integer(available - total)} of the ${integer(available)} samples were not used (${advice})`,
    ].join("; ");
  }
  if (beyondLimit.length > 0 || !Number.isFinite(samplesNeeded)) return beyondLimit.join("");
  return `about ${integer(samplesNeeded)} samples would narrow ${narrowed}, but there are only ${integer(of ?? total)}${value > 0.75 * maxDrop && value <= maxDrop ? ", and the loss is close to the limit" : ""}`;
}

export function roundUp(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.ceil(value / unit) * unit;
}
