/** Whether a result is worth having: smaller, less to compute, less time of a processor, or right more often. */
import { judge } from "../evaluate/compare.ts";
import { times } from "../evaluate/numbers.ts";
import { size } from "../evaluate/size.ts";
import type { Model } from "../graph/model.ts";
import { encodedSize, encodeToBytes } from "../onnx/index.ts";
import { clearNotes } from "../passes/notes.ts";
import type { Measured, Variant } from "../report/data.ts";

/** Ratios below print as 1.00 ×. */
const leastGain = 1.005;
/** Shares of processor time above may be noise: those of one and the same network were measured as 0.85 to 1.15. */
const clearlyLess = 0.8;

/** "nothing was gained: the file is no smaller (1.00 ×)"; undefined where it is smaller. */
function noSmaller(before: number, after: number): string | undefined {
  return before / after >= leastGain ? undefined : `nothing was gained: ${sizeText(before, after)}`;
}

/** Bytes of the exporter's notes, which every pass that is a command drops. */
export async function bytesOfNotes(model: Model): Promise<number> {
  const plain = model.clone();
  return clearNotes(plain).length === 0 ? 0 : (await encodedSize(model)) - (await encodedSize(plain));
}

/** Why a result is not worth having as a file; undefined where it is smaller. What is saved by dropping the exporter's notes is no gain. */
export async function noSmallerThan(original: Model, result: Model): Promise<string | undefined> {
  const [before, size] = [await encodedSize(original), await encodedSize(result)];
  const idle = noSmaller(before - (await bytesOfNotes(original)), size);
  if (idle === undefined || noSmaller(before, size) !== undefined) return idle;
  return `${idle} than the original without the exporter's metadata, which \`pith simplify\` drops`;
}

function sizeText(before: number, after: number): string {
  return after / before < leastGain ? "the file is no smaller (1.00 ×)" : `the file is ${times(after / before)} larger`;
}

/** What a result has to be smaller than: the original without the exporter's notes. @param plain the original, which loses them. */
export async function withoutNotes(measured: Measured, plain: Model): Promise<Measured> {
  if (clearNotes(plain).length === 0) return measured;
  const { bytes, brotli } = await size(await encodeToBytes(plain));
  return { ...measured, bytes, brotli };
}

/**
 * Why a result is not worth having; undefined where it is.
 * @param work processor time of a run, as a share of the original's; undefined where it was not measured.
 */
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
