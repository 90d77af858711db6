/** Decides whether a result is an improvement: smaller, cheaper, faster, or more accurate. */
import { judge } from "../evaluate/compare.ts";
import { times } from "../evaluate/numbers.ts";
import { sizeAt } from "../evaluate/size.ts";
import type { Model } from "../graph/model.ts";
import { encodedSize, encodeToBytes } from "../onnx/index.ts";
import { clearNotes } from "../passes/notes.ts";
import type { Measured, Variant } from "../report/data.ts";

const leastGain = 1.005;
/** Ratios of processor time above this may be noise: one network measured 0.85 to 1.15 of itself. */
const clearlyLess = 0.8;

function noSmaller(before: number, after: number): string | undefined {
  return before / after >= leastGain ? undefined : `nothing was gained: ${sizeText(before, after)}`;
}

/** Bytes of the exporter's metadata, which every pass that is a command drops. */
export async function bytesOfNotes(model: Model): Promise<number> {
  const plain = model.clone();
  return clearNotes(plain).length === 0 ? 0 : (await encodedSize(model)) - (await encodedSize(plain));
}

/** Returns why a result is not smaller; undefined if it is. Dropping the exporter's metadata does not count as a gain. */
export async function noSmallerThan(original: Model, result: Model): Promise<string | undefined> {
  const [before, size] = [await encodedSize(original), await encodedSize(result)];
  const idle = noSmaller(before - (await bytesOfNotes(original)), size);
  if (idle === undefined || noSmaller(before, size) !== undefined) return idle;
  return `${idle} than the original without the exporter's metadata, which \`pith simplify\` drops`;
}

function sizeText(before: number, after: number): string {
  return after / before < leastGain ? "the file is no smaller (1.00 ×)" : `the file is ${times(after / before)} larger`;
}

export async function withoutNotes(measured: Measured, plain: Model, quality: number): Promise<Measured> {
  if (clearNotes(plain).length === 0) return measured;
  const { bytes, brotli } = await sizeAt(quality, [await encodeToBytes(plain)]);
  return { ...measured, bytes, brotli };
}

/** @param work processor time of a run relative to the original's; undefined if not measured. */
export function nothingGained(
  original: Measured,
  { result, comparison }: Variant,
  work: number | undefined,
): string | undefined {
  if (result === undefined) return undefined;
  const isLess = (before: number | undefined, after: number | undefined): boolean =>
    before !== undefined && after !== undefined && before / after >= leastGain;
  const isSmaller =
    isLess(original.bytes, result.bytes) ||
    isLess(original.brotli, result.brotli) ||
    isLess(original.macs, result.macs);
  const isBetter = comparison !== undefined && judge(comparison, { maxDrop: 0 }).drop.value < 0;
  if (isSmaller || isBetter || (work !== undefined && work < clearlyLess)) return undefined;
  const faster = work === undefined ? "" : ", and takes as long";
  return `nothing was gained: ${sizeText(original.bytes, result.bytes)}${faster}`;
}
