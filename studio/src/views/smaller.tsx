import type { JSX } from "preact";
import { changeInterval as changeIntervalText, figureText } from "../../../src/core/numbers.ts";
import type { Candidate } from "../backend/backend.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { CandidateChart } from "../components/candidate-chart.tsx";
import { type Figure, Figures } from "../components/figures.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { Results } from "../components/results-table.tsx";
import { Presets, Queue, RunButton, Tuning } from "../components/settings-panel.tsx";
import { SizeSwitch } from "../components/size-switch.tsx";
import { StorageAlert } from "../components/stored-sessions.tsx";
import { Legend, Treemap } from "../components/treemap.tsx";
import { bytesText, timesText } from "../format.ts";
import {
  comparisonOf,
  firstSizeFigure,
  missingSpeedText,
  resultNumbers,
  resultSentence,
  secondSizeFigure,
  speedFigure,
  speedOf,
} from "../measurements.ts";
import { measuredSizes } from "../settings/estimate.ts";
import { goalUnit } from "../settings/goal.ts";
import { nameOf } from "../settings/presets.ts";
import {
  besideCandidate,
  besideId,
  best,
  candidates,
  claim,
  current,
  goalMetric,
  isMaking,
  job,
  maxDrop,
  model,
  samples,
  settings,
  shownBytes,
  sizeKind,
  takenId,
} from "../state/signals.ts";
import { estimatedBytes, estimatedSizes, originalSizes } from "../state/sizes.ts";

export function Smaller(): JSX.Element {
  const sizes = originalSizes.value;
  if (model.value === undefined || sizes === undefined) return <p>No model is open.</p>;
  const before = sizes.total;
  const kept = candidates.value.find(({ id }) => id === takenId.value) ?? best.value;
  const first = shownBytes("", before);
  const chosen = current.value;
  const besideSizes = besideCandidate.value === undefined ? sizes : measuredSizes(besideCandidate.value.inspection);
  const shown = chosen === undefined ? estimatedSizes.value : measuredSizes(chosen.inspection);
  return (
    <section>
      {kept === undefined ? null : (
        <p class="eyebrow">
          {kept.id === takenId.value ? "Chosen" : "Best so far"}: {kept.name}, {kept.summary.word}
        </p>
      )}
      <h1>
        {kept !== undefined
          ? resultSentence(resultNumbers(kept))
          : first === undefined || sizeKind.value === "disk"
            ? `The file takes ${bytesText(before)} on disk. Make it smaller.`
            : `Your visitors download ${bytesText(first)}. Make it smaller.`}
      </h1>
      {claim.value === undefined ? null : <p class="note">The link says: {claim.value.sentence}</p>}
      <StorageAlert />
      <GoalBar />
      <div class="workbench">
        <div class="duo">
          <div class="pane">
            <h2>
              <BesidePicker />
            </h2>
            <Figures
              figures={
                besideCandidate.value === undefined
                  ? originalFigures()
                  : candidateFigures(besideCandidate.value, before)
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
            {shown === undefined ? (
              <p class="note">The bytes of the layers are known after the search.</p>
            ) : (
              <Treemap
                sizes={shown}
                full={before}
                isEstimate={chosen === undefined}
                label={`Bytes by layer of ${nameOf(settings.value)}`}
              />
            )}
          </div>
          <Legend sizes={shown === undefined ? [besideSizes] : [besideSizes, shown]} />
        </div>
        <div class="pane rail">
          <Presets />
          <Tuning />
          <ProblemAlert place="smaller" />
          <ProgressBox place="smaller" />
          <Queue />
          {job.value === undefined || isMaking.value ? <RunButton /> : null}
        </div>
        {candidates.value.length === 0 ? null : (
          <div class="found">
            {samples.value === undefined ? null : <h2>Size against {samples.value.metric.name}</h2>}
            <CandidateChart />
            <h2>Results</h2>
            <Results />
          </div>
        )}
      </div>
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
        {job.value?.place === "samples" ? (
          "the samples are being opened"
        ) : samples.value === undefined ? (
          <>
            no samples: <a href="#samples">add samples</a> to measure what is lost
          </>
        ) : (
          <>
            tested on <a href="#samples">{samples.value.tested} samples</a>
          </>
        )}
      </span>
      <SizeSwitch />
    </div>
  );
}

function originalFigures(): readonly Figure[] {
  const inspection = model.value?.inspection;
  const estimate = samples.value?.original;
  return [
    firstSizeFigure("", inspection?.bytes ?? 0),
    secondSizeFigure("", inspection?.bytes ?? 0),
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
  const isByDownload = sizeKind.value === "download";
  const [first, original] = [estimatedBytes(settings.value), shownBytes("", before)];
  const estimate: Figure = {
    term: isByDownload ? "download" : "on disk",
    value: first === undefined ? undefined : bytesText(first),
    detail:
      first === undefined
        ? total === undefined
          ? "found by the search"
          : "run it to measure"
        : original === undefined
          ? "estimated"
          : `≈ ${timesText(original / first)} smaller`,
    isEstimate: true,
  };
  const other: Figure = {
    term: isByDownload ? "on disk" : "download",
    value: isByDownload && total !== undefined ? bytesText(total) : undefined,
    detail: isByDownload && total !== undefined ? "estimated" : "not measured yet",
    isEstimate: true,
  };
  return [
    estimate,
    other,
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
    { ...firstSizeFigure(id, inspection.bytes), ...smallerText(id, inspection.bytes, before) },
    secondSizeFigure(id, inspection.bytes),
    {
      term: metric,
      value: comparison === undefined ? undefined : figureText(unit, comparison.candidate.value),
      detail: comparison === undefined ? "not measured" : `change ${changeIntervalText(unit, comparison.difference)}`,
    },
    {
      term: "speed",
      value: speed === undefined ? undefined : speedFigure(speed),
      detail: speed === undefined ? missingSpeedText(candidate) : `${speed.low.toFixed(2)} to ${speed.high.toFixed(2)}`,
    },
  ];
}

/** States how much smaller a candidate is by the size that is shown first. */
function smallerText(id: string, bytes: number, original: number): Pick<Figure, "detail"> | undefined {
  const [before, after] = [shownBytes("", original), shownBytes(id, bytes)];
  return before === undefined || after === undefined ? undefined : { detail: `${timesText(before / after)} smaller` };
}
