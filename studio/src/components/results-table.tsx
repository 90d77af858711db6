import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { bytesText, countText, differenceText, figureText, timesText } from "../format.ts";
import { comparisonOf, downloadFigure, speedOf } from "../measurements.ts";
import { goalUnit } from "../settings/goal.ts";
import { candidates, goalMetric, model, samples, selectedId } from "../state.ts";
import { figureValue } from "./figures.tsx";
import { Wide } from "./wide.tsx";

const marks = { good: "✓", doubt: "?", bad: "✗" };

/** A row of measurements for the original and each candidate. */
export function Results(): JSX.Element {
  const original = model.value;
  const unit = goalUnit(goalMetric.value);
  return (
    <Wide label="Results">
      <table class="results">
        <thead>
          <tr>
            <th>candidate</th>
            <th class="n">bytes</th>
            <th class="n">brotli</th>
            <th class="n">MACs</th>
            <th class="n">{samples.value?.metric.name ?? "accuracy"}</th>
            <th class="n">change{unit === "" ? "" : `, ${unit}`}</th>
            <th class="n">speed</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">original</th>
            <td class="n">{bytesText(original?.inspection.bytes ?? 0)}</td>
            <td class="n">{figureValue(downloadFigure("", original?.inspection.bytes ?? 0))}</td>
            <td class="n">{macsText(original?.inspection.macs)}</td>
            <td class="n">
              {samples.value?.original === undefined
                ? "–"
                : figureText(samples.value.metric.unit, samples.value.original.value)}
            </td>
            <td class="n">–</td>
            <td class="n">{timesText(1)}</td>
          </tr>
          {candidates.value.map((candidate) => {
            const { id, name, inspection, run, summary } = candidate;
            const comparison = comparisonOf(candidate);
            const metricUnit = run?.metric.unit ?? "";
            const speed = speedOf(candidate);
            return (
              <tr key={id} class={id === selectedId.value ? "chosen" : undefined}>
                <th scope="row">
                  <button
                    type="button"
                    class="link"
                    onClick={() => {
                      selectedId.value = id;
                    }}
                  >
                    <span class={summary.mood}>{marks[summary.mood]}</span> {name}
                  </button>
                  <small>
                    {summary.word}
                    {othersText(candidate)}
                  </small>
                </th>
                <td class="n">{bytesText(inspection.bytes)}</td>
                <td class="n">{figureValue(downloadFigure(id, inspection.bytes))}</td>
                <td class="n">{macsText(inspection.macs)}</td>
                <td class="n">{comparison === undefined ? "–" : figureText(metricUnit, comparison.candidate.value)}</td>
                <td class="n">
                  {comparison === undefined ? "–" : differenceText(metricUnit, comparison.difference.value)}
                </td>
                <td class="n">{speed === undefined ? "–" : timesText(speed.median)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Wide>
  );
}

/** A training uses some of the samples, so that its candidate is tested on others. */
function othersText({ run }: Candidate): string {
  const tested = run?.data.test.count;
  return tested === undefined || tested === samples.value?.tested ? "" : `, tested on ${tested} other samples`;
}

const macsText = (macs: { readonly count: number | undefined } | undefined): string =>
  macs?.count === undefined ? "–" : countText(macs.count);
