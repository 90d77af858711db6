import type { JSX } from "preact";
import { changeTexts, figureText } from "../../../src/core/numbers.ts";
import type { Candidate } from "../backend/backend.ts";
import { countText, timesText } from "../format.ts";
import { comparisonOf, firstSizeFigure, secondSizeFigure, speedFigure, speedOf } from "../measurements.ts";
import { goalUnit, lossOf } from "../settings/goal.ts";
import { candidates, choose, goalMetric, maxDrop, model, samples, selectedId, sizeKind } from "../state/signals.ts";
import { numberOf } from "./candidate-chart.tsx";
import { figureValue } from "./figures.tsx";
import { type Row, Table } from "./table.tsx";

const marks = { good: "✓", doubt: "?", bad: "✗" };

/** A row of measurements for the original and each candidate. Name, size and change come first, because a narrow window shows these. */
export function Results(): JSX.Element {
  const unit = goalUnit(goalMetric.value);
  const columns = [
    { title: "candidate" },
    number(isByDownload() ? "download" : "on disk"),
    number(`change${unit === "" ? "" : `, ${unit}`}`),
    ...[samples.value?.metric.name ?? "accuracy", "speed", isByDownload() ? "on disk" : "download", "MACs"].map(number),
  ];
  return (
    <Table label="Results" kind="results" columns={columns} rows={[originalRow(), ...candidates.value.map(rowOf)]} />
  );
}

const isByDownload = (): boolean => sizeKind.value === "download";
const number = (title: string) => ({ title, kind: "n" }) as const;

/** Returns the size that is shown first, and the other one. */
const sizeTexts = (id: string, bytes: number): readonly [string, string] => [
  figureValue(firstSizeFigure(id, bytes)),
  figureValue(secondSizeFigure(id, bytes)),
];

function originalRow(): Row {
  const { bytes = 0, macs } = model.value?.inspection ?? {};
  const { original, metric } = samples.value ?? {};
  const value = original === undefined || metric === undefined ? "–" : figureText(metric.unit, original.value);
  const [first, second] = sizeTexts("", bytes);
  return { key: "", cells: ["original", first, "–", value, timesText(1), second, macsText(macs)] };
}

function rowOf(candidate: Candidate): Row {
  const { id, name, inspection, run, summary } = candidate;
  const comparison = comparisonOf(candidate);
  const unit = run?.metric.unit ?? "";
  const texts =
    comparison && changeTexts(unit, comparison.original.value, comparison.candidate.value, comparison.difference.value);
  const speed = speedOf(candidate);
  const [first, second] = sizeTexts(id, inspection.bytes);
  return {
    key: id,
    isChosen: id === selectedId.value,
    cells: [
      <>
        <span class="num">{numberOf(candidate)}</span>{" "}
        <button type="button" class="link" onClick={() => choose(id)}>
          {name}
        </button>
        <small>
          <span class={summary.mood}>{marks[summary.mood]}</span> {summary.word}
          {goalText(candidate)}
          {othersText(candidate)}
        </small>
      </>,
      first,
      texts?.change ?? "–",
      texts?.after ?? "–",
      speed === undefined ? "–" : speedFigure(speed),
      second,
      macsText(inspection.macs),
    ],
  };
}

/** States the goal of a candidate that was made for another one than the page shows now. */
function goalText({ run }: Candidate): string {
  if (run?.goal === undefined) return "";
  const shown = run.goal.maxDrop / lossOf(1, run.metric);
  return Math.abs(shown - maxDrop.value) < 1e-9 ? "" : ` for a goal of ${shown} ${goalUnit(run.metric)}`;
}

/** States the original's value on the samples of a candidate that was tested on others, or on another number of them. */
function othersText({ run, hasOtherTest }: Candidate): string {
  if (run === undefined) return "";
  const { metric, original, data } = run;
  const { count } = data.test;
  if (!hasOtherTest && count === samples.value?.tested) return "";
  const value = figureText(metric.unit, original.estimate.value);
  return `, tested on ${count} ${hasOtherTest ? "other " : ""}samples (original: ${value})`;
}

const macsText = (macs: { readonly count: number | undefined } | undefined): string =>
  macs?.count === undefined ? "–" : countText(macs.count);
