/** Reads what was measured of a candidate from its run record. */
import type { Run } from "pith/compress";
import type { Latency } from "pith/evaluate";
import { type Candidate, type DownloadSizes, maxExactBytes } from "./backend/backend.ts";
import type { Figure } from "./components/figures.tsx";
import { bytesText, integerText, timesText } from "./format.ts";
import { downloads, model, shownBytes, sizeKind } from "./state/signals.ts";

type Variant = Run["variants"][number];

const variantOf = ({ run }: Candidate): Variant | undefined => run?.variants[run.chosen ?? 0];

/** Returns the comparison with the original on the samples; undefined without samples. */
export const comparisonOf = (candidate: Candidate): Variant["comparison"] => variantOf(candidate)?.comparison;

/** Returns the speed relative to the original; undefined if it was not measured, or the machine was too busy. */
export const speedOf = ({ timing }: Candidate): Latency["speedup"] | undefined =>
  timing?.isUnsteady === true ? undefined : timing?.candidate.speedup;

/** Returns "1.24 ×", "≈ 1 ×" if the interval is narrow around 1, or "undecided". */
export function speedFigure({ low, median, high }: Latency["speedup"]): string {
  if (low > 1 || high < 1) return timesText(median);
  return low >= 0.8 && high <= 1.25 ? "≈ 1\u00a0×" : "undecided";
}

/** Returns why there is no speed. */
export const missingSpeedText = ({ timing }: Candidate): string =>
  timing?.isUnsteady === true ? "not measured: the machine was too busy" : "not measured";

/** Returns how many predictions differ from the original's; undefined for models without classes. */
function changedCount(candidate: Candidate): { readonly count: number; readonly of: number } | undefined {
  const { agreement } = variantOf(candidate) ?? {};
  return agreement === undefined
    ? undefined
    : { count: Math.round((1 - agreement.value) * agreement.count), of: agreement.count };
}

/** A result in numbers, as a link stores it. */
export interface ResultNumbers {
  readonly kind: "download" | "disk";
  readonly before: number;
  readonly after: number;
  /** Predictions that change, and all that were compared; undefined for models without classes. */
  readonly changed: { readonly count: number; readonly of: number } | undefined;
}

/** Returns the sizes of a candidate and of the original: those that visitors download, or those on disk if these are chosen or not known. */
export function resultNumbers(candidate: Candidate): ResultNumbers {
  const original = model.value?.inspection.bytes ?? 0;
  const [before, after] = [shownBytes("", original), shownBytes(candidate.id, candidate.inspection.bytes)];
  const changed = changedCount(candidate);
  return before === undefined || after === undefined
    ? { kind: "disk", before: original, after: candidate.inspection.bytes, changed }
    : { kind: sizeKind.value, before, after, changed };
}

/** "Your visitors download 1.00 MB → 113 kB. 12 of 1,000 predictions change." */
export function resultSentence({ kind, before, after, changed }: ResultNumbers): string {
  const sizes = `${bytesText(before)}\u00a0→\u00a0${bytesText(after)}`;
  const sizeSentence = kind === "download" ? `Your visitors download ${sizes}.` : `The file takes ${sizes} on disk.`;
  if (changed === undefined) return sizeSentence;
  const { count, of } = changed;
  return `${sizeSentence} ${integerText(count)} of ${integerText(of)} predictions ${count === 1 ? "changes" : "change"}.`;
}

/** Returns the figure of the size that the page shows first. @param id of a candidate, or "" for the original. @param bytes of the file. */
export const firstSizeFigure = (id: string, bytes: number): Figure =>
  sizeKind.value === "disk" ? diskFigure(bytes) : { ...downloadFigure(id, bytes), term: "download" };

/** Returns the figure of the other size. */
export const secondSizeFigure = (id: string, bytes: number): Figure =>
  sizeKind.value === "disk" ? { ...downloadFigure(id, bytes), term: "download" } : diskFigure(bytes);

const diskFigure = (bytes: number): Figure => ({ term: "on disk", value: bytesText(bytes), detail: "measured" });

/** Returns the figure of a size after compression. @param id of a candidate, or "" for the original. @param bytes of the file. */
export function downloadFigure(id: string, bytes: number, term: keyof DownloadSizes = "brotli"): Figure {
  const { [id]: sizes } = downloads.value;
  const isEstimate = bytes > maxExactBytes[term];
  if (sizes === undefined) return { term, value: undefined, detail: "being measured" };
  const { [term]: size } = sizes;
  if (size === undefined) return { term, value: undefined, detail: "not measured" };
  return { term, value: bytesText(size), detail: isEstimate ? "estimated" : "measured", isEstimate };
}
