/** Bytes against the metric: one point per candidate, with the interval of its difference from the original. */
import type { SizeDrawing } from "pith/compress";
import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { comparisonOf } from "../measurements.ts";
import { goalValue } from "../settings/goal.ts";
import { candidates, estimatedSizes, goalMetric, maxDrop, model, samples, selectedId } from "../state.ts";
import { Drawing } from "./drawings.tsx";

type Point = SizeDrawing["points"][number];

/** Candidates can be measured on other samples than the original, so each is placed by its difference from it. */
function pointsOf(candidate: Candidate, original: number): readonly Point[] {
  const { id, name, inspection } = candidate;
  const { difference } = comparisonOf(candidate) ?? {};
  if (difference === undefined) return [];
  return [
    {
      name,
      kind: id === selectedId.value ? "chosen" : "variant",
      bytes: inspection.bytes,
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
  const bytes = model.value?.inspection.bytes;
  if (points.length === 0 || bytes === undefined || metric === undefined) return null;
  const searched = selectSearched(shown, (loss) => value + (metric.better === "higher" ? -1 : 1) * loss);
  const sizes = {
    metric,
    points: [{ name: "original", kind: "original", bytes, value } as const, ...points],
    searched,
    goal: goalValue(value, maxDrop.value, goalMetric.value),
    estimate: estimatedSizes.value?.total,
    height: 300,
  };
  return (
    <figure>
      <Drawing draw={({ drawSizes }, width) => drawSizes({ ...sizes, width })} />
      <figcaption>
        Each point is a candidate, and the line through it is the interval of its difference from the original on the
        same samples. {searched.length === 0 ? "" : "Small dots are results that a search tried on other samples. "}A
        line that lies entirely {metric.better === "higher" ? "above" : "below"} the dashed line shows that the goal is
        met. The dotted line is the estimate of the settings.
      </figcaption>
    </figure>
  );
}

/** Losses above this multiple of the goal are not drawn, because they would flatten the chart. */
const drawnLoss = 5;

/** Returns what searches tried. @param metricAt value of the metric at a loss. */
function selectSearched(all: readonly Candidate[], metricAt: (loss: number) => number): SizeDrawing["searched"] {
  return all.flatMap(({ run }) =>
    (run?.search?.points ?? []).flatMap(({ name, bytes, drop, isOnFront }) =>
      bytes === undefined || drop === undefined || drop > drawnLoss * (run?.goal?.maxDrop ?? 0)
        ? []
        : [{ name, bytes, value: metricAt(drop), isOnFront }],
    ),
  );
}
