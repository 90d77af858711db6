/** Bytes against the metric: one point per candidate, with the interval of its difference from the original. */

import type { JSX } from "preact";
import type { SizeDrawing } from "../../../src/app/report/index.ts";
import type { Candidate } from "../backend/backend.ts";
import { comparisonOf } from "../measurements.ts";
import { goalValue } from "../settings/goal.ts";
import {
  candidates,
  current,
  goalMetric,
  maxDrop,
  model,
  samples,
  selectedId,
  settings,
  shownBytes,
  sizeKind,
} from "../state/signals.ts";
import { estimatedBytes } from "../state/sizes.ts";
import { Drawing } from "./drawings.tsx";

type Point = SizeDrawing["points"][number];

/** Number of a candidate in the chart and in the table, because names are too long for the chart. */
export const numberOf = (candidate: Candidate): number => candidates.value.indexOf(candidate) + 1;

/** Candidates can be measured on other samples than the original, so each is placed by its difference from it. */
function pointsOf(candidate: Candidate, original: number): readonly Point[] {
  const { id, name, inspection } = candidate;
  const { difference } = comparisonOf(candidate) ?? {};
  const bytes = shownBytes(id, inspection.bytes);
  if (difference === undefined || bytes === undefined) return [];
  return [
    {
      name,
      label: String(numberOf(candidate)),
      kind: id === selectedId.value ? "chosen" : "variant",
      bytes,
      value: original + difference.value,
      paired: { low: original + difference.low, high: original + difference.high },
    },
  ];
}

export function CandidateChart(): JSX.Element | null {
  // Candidates that were made on other samples can have another metric.
  const shown = candidates.value.filter(({ run }) => run?.metric.name === samples.value?.metric.name);
  const { metric, original } = samples.value ?? {};
  const value = original?.value ?? 1;
  const points = shown.flatMap((candidate) => pointsOf(candidate, value));
  const bytes = model.value && shownBytes("", model.value.inspection.bytes);
  if (points.length === 0 || bytes === undefined || metric === undefined) return null;
  const isByDownload = sizeKind.value === "download";
  const searches = shown.flatMap(({ run }) => (run?.search === undefined ? [] : [run]));
  // Searches compare sizes on disk.
  const runs = isByDownload ? [] : searches;
  const sizes = {
    metric,
    points: [{ name: "original", kind: "original", bytes, value } as const, ...points],
    runs,
    goal: goalValue(value, maxDrop.value, goalMetric.value),
    estimate: current.value === undefined ? estimatedBytes(settings.value) : undefined,
    isByDownload,
    height: 300,
  };
  return (
    <figure>
      <Drawing draw={({ drawSizes }, width) => drawSizes({ ...sizes, width })} />
      <figcaption>
        Each point is a candidate, by its number in the table below, and the line through it is the interval of its
        difference from the original on the same samples.{" "}
        {shown.some(({ hasOtherTest, run }) => hasOtherTest || run?.data.test.count !== samples.value?.tested)
          ? "Candidates that were tested on other samples are drawn at the original’s value plus their change. "
          : ""}
        {searches.length === 0
          ? ""
          : isByDownload
            ? "The results that a search tried are drawn with sizes on disk. "
            : "Small dots are results that a search tried on other samples. "}
        A line that lies entirely {metric.better === "higher" ? "above" : "below"} the dashed line shows that the goal
        is met.
        {sizes.estimate === undefined ? "" : " The dotted line is the estimate of the settings."}
      </figcaption>
    </figure>
  );
}
