/** Bytes against the metric: one point per candidate, with the interval of its difference from the original. */
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Candidate } from "../backend/backend.ts";
import { bytesText, figureText } from "../format.ts";
import { comparisonOf } from "../measurements.ts";
import { goalUnit, goalValue } from "../settings/goal.ts";
import { candidates, estimatedSizes, goalMetric, maxDrop, model, samples, selectedId } from "../state.ts";
import { placeLabels } from "./place-labels.ts";
import { useWidth } from "./width.ts";

const height = 260;
const margin = { left: 60, right: 60, top: 16, bottom: 36 };

interface Point {
  readonly id: string | undefined;
  readonly name: string;
  readonly bytes: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

function pointOf(candidate: Candidate): Point | undefined {
  const { id, name, inspection } = candidate;
  const comparison = comparisonOf(candidate);
  if (comparison === undefined) return undefined;
  const { original, difference } = comparison;
  return {
    id,
    name,
    bytes: inspection.bytes,
    value: comparison.candidate.value,
    low: original.value + difference.low,
    high: original.value + difference.high,
  };
}

export function CandidateChart(): JSX.Element | null {
  const frame = useRef<HTMLElement>(null);
  const width = useWidth(frame);
  // Candidates that were made on other samples can have another metric.
  const shown = candidates.value.filter(({ run }) => run?.metric.name === samples.value?.metric.name);
  const points = shown.flatMap((candidate) => pointOf(candidate) ?? []);
  const original = model.value?.inspection.bytes;
  if (points.length === 0 || original === undefined) return null;
  const metric = goalMetric.value;
  const truth = shown.find(({ run }) => run !== undefined)?.run?.original.estimate.value ?? 1;
  const goal = goalValue(truth, maxDrop.value, metric);
  const all: readonly Point[] = [
    ...points,
    { id: undefined, name: "original", bytes: original, value: truth, low: truth, high: truth },
  ];
  const estimate = estimatedSizes.value?.total ?? original;
  const searched = searchedPoints(shown, (loss) => truth + (metric.better === "higher" ? -1 : 1) * loss);
  const sizes = [...[...all, ...searched].map(({ bytes }) => bytes), estimate].map(Math.log);
  const values = [...all.flatMap(({ low, high }) => [low, high]), ...searched.map(({ value }) => value), goal];
  const x = scaleOf(sizes, margin.left, width - margin.right);
  const y = scaleOf(values, height - margin.bottom, margin.top);
  const placed = all.map((point) => ({ ...point, x: x(Math.log(point.bytes)), y: y(point.value) }));
  const labels = placeLabels(
    placed.map((point) => ({ ...point, text: point.name })),
    width,
  );
  const ticks = spacedTicks(placed);
  return (
    <figure ref={frame}>
      <svg
        class="chart"
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label="Bytes against the metric of each candidate; the table below has the same figures."
      >
        <line
          class="base"
          x1={margin.left}
          x2={width - margin.right}
          y1={height - margin.bottom}
          y2={height - margin.bottom}
        />
        <line class="goal" x1={margin.left} x2={width - margin.right} y1={y(goal)} y2={y(goal)} />
        <text class="goaltext" x={width - margin.right} y={y(goal) - 6} text-anchor="end">
          goal: lose at most {maxDrop.value} {goalUnit(metric)}
        </text>
        <line
          class="estimate"
          x1={x(Math.log(estimate))}
          x2={x(Math.log(estimate))}
          y1={margin.top}
          y2={height - margin.bottom}
        />
        {searched.map(({ name, bytes, value }) => (
          <circle key={`${name} ${bytes}`} class="searched" cx={x(Math.log(bytes))} cy={y(value)} r={3}>
            <title>{`${name}, ${bytesText(bytes)}, ${figureText(metric.unit, value)}`}</title>
          </circle>
        ))}
        {placed.map((point) => (
          <g
            key={point.id ?? ""}
            class={`pt${point.id !== undefined && point.id === selectedId.value ? " chosen" : ""}`}
          >
            <line class="interval" x1={point.x} x2={point.x} y1={y(point.low)} y2={y(point.high)} />
            <circle cx={point.x} cy={point.y} r={6} />
          </g>
        ))}
        {labels.map((label, index) => (
          <text key={placed[index]?.id ?? ""} x={label.x} y={label.y} text-anchor={label.anchor}>
            {label.text}
          </text>
        ))}
        {ticks.map((point) => (
          <text key={point.id ?? ""} class="tick" x={point.x} y={height - margin.bottom + 16} text-anchor="middle">
            {bytesText(point.bytes)}
          </text>
        ))}
        {[Math.min(...values), Math.max(...values)].map((value) => (
          <text key={value} class="tick" x={margin.left - 8} y={y(value) + 4} text-anchor="end">
            {figureText(metric.unit, value)}
          </text>
        ))}
      </svg>
      <figcaption>
        Each point is a candidate, and the line through it is the interval of its difference from the original on the
        same samples. {searched.length === 0 ? "" : "Small dots are results that a search tried on other samples. "}A
        line that lies entirely {metric.better === "higher" ? "above" : "below"} the dashed line shows that the goal is
        met.
      </figcaption>
    </figure>
  );
}

/** Returns a linear scale over all values, with a twelfth of their range on both sides. */
function scaleOf(values: readonly number[], from: number, to: number): (value: number) => number {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const range = high - low || 1;
  return (value) => from + ((value - low) / range + 1 / 12) * (6 / 7) * (to - from);
}

/** Losses above this multiple of the goal are not drawn, because they would flatten the chart. */
const drawnLoss = 5;

/** Returns what searches tried. @param metricAt value of the metric at a loss. */
function searchedPoints(
  all: readonly Candidate[],
  metricAt: (loss: number) => number,
): readonly { readonly name: string; readonly bytes: number; readonly value: number }[] {
  return all.flatMap(({ run }) =>
    (run?.search?.points ?? []).flatMap(({ name, bytes, drop }) =>
      bytes === undefined || drop === undefined || drop > drawnLoss * (run?.goal?.maxDrop ?? 0)
        ? []
        : [{ name, bytes, value: metricAt(drop) }],
    ),
  );
}

/** Minimum pixels between two sizes below the chart. */
const tickDistance = 64;

/** Returns the points whose sizes have room, from the left. */
function spacedTicks<T extends { readonly x: number }>(points: readonly T[]): readonly T[] {
  let last = Number.NEGATIVE_INFINITY;
  return points
    .toSorted((a, b) => a.x - b.x)
    .filter(({ x }) => {
      if (x - last < tickDistance) return false;
      last = x;
      return true;
    });
}
