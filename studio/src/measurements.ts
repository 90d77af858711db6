/** Reads what was measured of a candidate from its run record. */
import type { Run } from "pith/compress";
import type { Latency } from "pith/evaluate";
import { type Candidate, type DownloadSizes, maxExactBytes } from "./backend/backend.ts";
import type { Figure } from "./components/figures.tsx";
import { bytesText } from "./format.ts";
import { downloads } from "./state.ts";

type Variant = Run["variants"][number];

const variantOf = ({ run }: Candidate): Variant | undefined => run?.variants[run.chosen ?? 0];

/** Returns the comparison with the original on the samples; undefined without samples. */
export const comparisonOf = (candidate: Candidate): Variant["comparison"] => variantOf(candidate)?.comparison;

/** Returns the speed relative to the original; undefined if it was not measured, or the machine was too busy. */
export const speedOf = ({ timing }: Candidate): Latency["speedup"] | undefined =>
  timing?.isUnsteady === true ? undefined : timing?.candidate.speedup;

/** Returns why there is no speed. */
export const missingSpeedText = ({ timing }: Candidate): string =>
  timing?.isUnsteady === true ? "the machine was too busy" : "not measured";

/** Returns how many predictions differ from the original's; undefined for models without classes. */
export function changedCount(candidate: Candidate): { readonly count: number; readonly of: number } | undefined {
  const { agreement } = variantOf(candidate) ?? {};
  return agreement === undefined
    ? undefined
    : { count: Math.round((1 - agreement.value) * agreement.count), of: agreement.count };
}

/** Returns the figure of a size after compression. @param id of a candidate, or "" for the original. @param bytes of the file. */
export function downloadFigure(id: string, bytes: number, term: keyof DownloadSizes = "brotli"): Figure {
  const { [id]: sizes } = downloads.value;
  const isEstimate = bytes > maxExactBytes[term];
  if (sizes === undefined) return { term, value: undefined, detail: "being measured" };
  const { [term]: size } = sizes;
  if (size === undefined) return { term, value: undefined, detail: "not measured" };
  return { term, value: bytesText(size), detail: isEstimate ? "estimated" : "measured", isEstimate };
}
