import type { JSX } from "preact";
import { changeInterval as changeIntervalText, figure as figureText } from "../../../src/core/numbers.ts";
import type { Candidate } from "../backend/backend.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { CandidateChart } from "../components/candidate-chart.tsx";
import { type Figure, Figures } from "../components/figures.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { Results } from "../components/results-table.tsx";
import { Presets, RunButton, Tuning } from "../components/settings-panel.tsx";
import { StorageAlert } from "../components/stored-sessions.tsx";
import { Legend, Treemap } from "../components/treemap.tsx";
import { bytesText, timesText } from "../format.ts";
import { comparisonOf, downloadFigure, missingSpeedText, speedOf } from "../measurements.ts";
import { measuredSizes } from "../settings/estimate.ts";
import { goalUnit } from "../settings/goal.ts";
import { nameOf } from "../settings/presets.ts";
import {
  besideCandidate,
  besideId,
  candidates,
  current,
  estimatedSizes,
  goalMetric,
  job,
  maxDrop,
  model,
  originalSizes,
  samples,
  settings,
} from "../state.ts";

export function Smaller(): JSX.Element {
  const sizes = originalSizes.value;
  if (model.value === undefined || sizes === undefined) return <p>No model is open.</p>;
  const before = sizes.total;
  const smallest = Math.min(
    ...candidates.value.filter(({ summary }) => summary.mood !== "bad").map(({ inspection }) => inspection.bytes),
  );
  const chosen = current.value;
  const besideSizes = besideCandidate.value === undefined ? sizes : measuredSizes(besideCandidate.value.inspection);
  const shown = chosen === undefined ? estimatedSizes.value : measuredSizes(chosen.inspection);
  return (
    <section>
      <h1>
        {Number.isFinite(smallest)
          ? `From ${bytesText(before)} to ${bytesText(smallest)} so far.`
          : `Make ${bytesText(before)} smaller.`}
      </h1>
      <StorageAlert />
      <GoalBar />
      <div class="duo">
        <div class="pane">
          <h2>
            <BesidePicker />
          </h2>
          <Figures
            figures={
              besideCandidate.value === undefined ? originalFigures() : candidateFigures(besideCandidate.value, before)
            }
          />
          <Treemap
            sizes={besideSizes}
            full={before}
            label={`Bytes by layer of ${besideCandidate.value?.name ?? "the original"}`}
          />
        </div>
        <div class="pane">
          <h2>{nameOf(settings.value)}</h2>
          <Figures figures={chosen === undefined ? estimateFigures(before) : candidateFigures(chosen, before)} />
          {shown === undefined ? null : (
            <Treemap
              sizes={shown}
              full={before}
              isEstimate={chosen === undefined}
              label={`Bytes by layer of ${nameOf(settings.value)}`}
            />
          )}
        </div>
        <div class="pane rail">
          <Presets />
          <Tuning />
          <ProblemAlert place="smaller" />
          <ProgressBox place="smaller" />
          {job.value === undefined ? <RunButton /> : null}
        </div>
      </div>
      <Legend sizes={shown === undefined ? [besideSizes] : [besideSizes, shown]} />
      {candidates.value.length === 0 ? null : (
        <>
          {samples.value === undefined ? null : <h2>Bytes against {samples.value.metric.name}</h2>}
          <CandidateChart />
          <h2>Results</h2>
          <Results />
        </>
      )}
    </section>
  );
}

/** Chooses what is shown beside the settings: the original or a finished candidate. */
function BesidePicker(): JSX.Element {
  if (candidates.value.length === 0) return <>original</>;
  return (
    <select
      aria-label="Compare the settings with"
      value={besideId.value ?? ""}
      onChange={(event) => {
        besideId.value = event.currentTarget.value || undefined;
      }}
    >
      <option value="">original</option>
      {candidates.value.map(({ id, name }) => (
        <option key={id} value={id}>
          {name}
        </option>
      ))}
    </select>
  );
}

function GoalBar(): JSX.Element {
  return (
    <div class="goalbar">
      <label>
        Lose at most{" "}
        <input
          type="number"
          min={0}
          step="any"
          value={maxDrop.value}
          onChange={(event) => {
            maxDrop.value = Math.max(0, Number(event.currentTarget.value) || 0);
          }}
        />{" "}
        {goalUnit(goalMetric.value)}
      </label>
      <span>
        {samples.value === undefined ? (
          <>
            no samples: <a href="#samples">add samples</a> to measure what is lost
          </>
        ) : (
          <>
            tested on <a href="#samples">{samples.value.tested} samples</a>
          </>
        )}
      </span>
    </div>
  );
}

function originalFigures(): readonly Figure[] {
  const inspection = model.value?.inspection;
  const estimate = samples.value?.original;
  return [
    { term: "bytes", value: bytesText(inspection?.bytes ?? 0), detail: "measured" },
    downloadFigure("", inspection?.bytes ?? 0),
    {
      term: samples.value?.metric.name ?? "accuracy",
      value: estimate === undefined ? undefined : figureText(samples.value?.metric.unit ?? "", estimate.value),
      detail:
        samples.value === undefined
          ? "needs labeled samples"
          : estimate === undefined
            ? "is the reference"
            : `${estimate.count} samples`,
    },
    { term: "speed", value: timesText(1), detail: "of the original" },
  ];
}

function estimateFigures(before: number): readonly Figure[] {
  const total = estimatedSizes.value?.total;
  return [
    {
      term: "bytes",
      value: total === undefined ? undefined : bytesText(total),
      detail: total === undefined ? "found by the search" : `≈ ${timesText(before / total)} smaller`,
      isEstimate: total !== undefined,
    },
    { term: "brotli", value: undefined, detail: "not measured yet" },
    { term: samples.value?.metric.name ?? "accuracy", value: undefined, detail: "not measured yet" },
    { term: "speed", value: undefined, detail: "not measured yet" },
  ];
}

function candidateFigures(candidate: Candidate, before: number): readonly Figure[] {
  const { inspection, run, id } = candidate;
  const speed = speedOf(candidate);
  const { unit, name: metric } = run?.metric ?? { unit: "", name: "accuracy" };
  const comparison = comparisonOf(candidate);
  return [
    { term: "bytes", value: bytesText(inspection.bytes), detail: `${timesText(before / inspection.bytes)} smaller` },
    downloadFigure(id, inspection.bytes),
    {
      term: metric,
      value: comparison === undefined ? undefined : figureText(unit, comparison.candidate.value),
      detail: comparison === undefined ? "not measured" : `change ${changeIntervalText(unit, comparison.difference)}`,
    },
    {
      term: "speed",
      value: speed === undefined ? undefined : timesText(speed.median),
      detail: speed === undefined ? missingSpeedText(candidate) : `${speed.low.toFixed(2)} to ${speed.high.toFixed(2)}`,
    },
  ];
}
