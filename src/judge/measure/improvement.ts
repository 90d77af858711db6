/** Decides whether a result improves on the original: smaller, cheaper, faster or more accurate. */
import { encodedSize, type Model, times } from "#ir";
import { judge } from "../compare/goal.ts";
import type { Measured, Variant } from "../record/run-record.ts";
import { plainFile } from "./model-size.ts";

/** Below this ratio, two sizes count as equal. */
const minSizeRatio = 1.005;
/** Processor time relative to the original that counts as faster. Measured twice, the same network took 0.85 to 1.15 times as long. */
const maxFasterRatio = 0.8;

function noSizeGainText(before: number, after: number): string | undefined {
  return before / after >= minSizeRatio ? undefined : `nothing was gained: ${sizeText(before, after)}`;
}

/** Dropping the exporter's metadata does not count as a gain. */
export async function whyNotSmaller(original: Model, result: Model): Promise<string | undefined> {
  const [before, size] = [await encodedSize(original), await encodedSize(result)];
  const { files } = await plainFile(original);
  const noGainText = noSizeGainText(files[0]?.size ?? before, size);
  if (noGainText === undefined || noSizeGainText(before, size) !== undefined) return noGainText;
  return `${noGainText} than the original without the exporter's metadata, which \`simplify\` drops`;
}

function sizeText(before: number, after: number): string {
  return after / before < minSizeRatio
    ? "the file is not smaller (1.00 ×)"
    : `the file is ${times(after / before)} larger`;
}

/** Returns undefined if the result is smaller, cheaper, faster or more accurate. @param work relative processor time, if measured. */
export function whyNothingGained(
  original: Measured,
  { result, comparison }: Variant,
  work: number | undefined,
): string | undefined {
  if (result === undefined) return undefined;
  const isLess = (before: number | undefined, after: number | undefined): boolean =>
    before !== undefined && after !== undefined && before / after >= minSizeRatio;
  const isSmaller =
    isLess(original.bytes, result.bytes) ||
    isLess(original.brotli, result.brotli) ||
    isLess(original.macs, result.macs);
  const isBetter = comparison !== undefined && judge(comparison, { maxDrop: 0 }).drop.value < 0;
  if (isSmaller || isBetter || (work !== undefined && work < maxFasterRatio)) return undefined;
  const timeText = work === undefined ? "" : ", and takes as long";
  return `nothing was gained: ${sizeText(original.bytes, result.bytes)}${timeText}`;
}
