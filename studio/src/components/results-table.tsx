import type { JSX } from "preact";
import { changeTexts, figure as figureText } from "../../../src/core/numbers.ts";
import type { Candidate } from "../backend/backend.ts";
import { bytesText, countText, timesText } from "../format.ts";
import { comparisonOf, downloadFigure, speedOf } from "../measurements.ts";
import { goalUnit, lossOf } from "../settings/goal.ts";
import { candidates, goalMetric, maxDrop, model, samples, selectedId } from "../state.ts";
import { figureValue } from "./figures.tsx";
import { type Row, Table } from "./table.tsx";

const marks = { good: "✓", doubt: "?", bad: "✗" };

/** A row of measurements for the original and each candidate. */
export function Results(): JSX.Element {
  const unit = goalUnit(goalMetric.value);
  const columns = [
    { title: "candidate" },
    ...["bytes", "brotli", "MACs", samples.value?.metric.name ?? "accuracy"].map(number),
    number(`change${unit === "" ? "" : `, ${unit}`}`),
    number("speed"),
  ];
  return (
    <Table label="Results" kind="results" columns={columns} rows={[originalRow(), ...candidates.value.map(rowOf)]} />
  );
}

const number = (title: string) => ({ title, kind: "n" }) as const;

function originalRow(): Row {
  const { bytes = 0, macs } = model.value?.inspection ?? {};
  const { original, metric } = samples.value ?? {};
  const value = original === undefined || metric === undefined ? "–" : figureText(metric.unit, original.value);
  const brotli = figureValue(downloadFigure("", bytes));
  return { key: "", cells: ["original", bytesText(bytes), brotli, macsText(macs), value, "–", timesText(1)] };
}

function rowOf(candidate: Candidate): Row {
  const { id, name, inspection, run, summary } = candidate;
  const comparison = comparisonOf(candidate);
  const unit = run?.metric.unit ?? "";
  const texts =
    comparison && changeTexts(unit, comparison.original.value, comparison.candidate.value, comparison.difference.value);
  const speed = speedOf(candidate);
  const select = (): void => {
    selectedId.value = id;
  };
  return {
    key: id,
    isChosen: id === selectedId.value,
    cells: [
      <>
        <button type="button" class="link" onClick={select}>
          <span class={summary.mood}>{marks[summary.mood]}</span> {name}
        </button>
        <small>
          {summary.word}
          {goalText(candidate)}
          {othersText(candidate)}
        </small>
      </>,
      bytesText(inspection.bytes),
      figureValue(downloadFigure(id, inspection.bytes)),
      macsText(inspection.macs),
      texts?.after ?? "–",
      texts?.change ?? "–",
      speed === undefined ? "–" : timesText(speed.median),
    ],
  };
}

/** States the goal of a candidate that was made for another one than the page shows now. */
function goalText({ run }: Candidate): string {
  if (run?.goal === undefined) return "";
  const shown = run.goal.maxDrop / lossOf(1, run.metric);
  return Math.abs(shown - maxDrop.value) < 1e-9 ? "" : ` for a goal of ${shown} ${goalUnit(run.metric)}`;
}

/** States the original's value on the samples of a candidate that was tested on others. */
function othersText({ run, hasOtherTest }: Candidate): string {
  if (run === undefined || !hasOtherTest) return "";
  const { metric, original } = run;
  const value = figureText(metric.unit, original.estimate.value);
  return `, tested on ${run.data.test.count} other samples (original: ${value})`;
}

const macsText = (macs: { readonly count: number | undefined } | undefined): string =>
  macs?.count === undefined ? "–" : countText(macs.count);
