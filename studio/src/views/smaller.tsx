import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { CandidateChart } from "../components/candidate-chart.tsx";
import { type Figure, Figures } from "../components/figures.tsx";
import { MissingFiles } from "../components/missing-files.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { StorageAlert } from "../components/stored-sessions.tsx";
import { Legend, Treemap } from "../components/treemap.tsx";
import { Wide } from "../components/wide.tsx";
import { bytesText, countText, differenceText, figureText, timesText } from "../format.ts";
import { comparisonOf, missingSpeedText, speedOf } from "../measurements.ts";
import { estimateSizes, measuredSizes } from "../settings/estimate.ts";
import { findPreset, initialSettings, nameOf, presets, type Settings } from "../settings/presets.ts";
import {
  candidates,
  current,
  downloads,
  estimatedSizes,
  job,
  make,
  maxDrop,
  missingFiles,
  model,
  originalSizes,
  samples,
  selectedId,
  settings,
  show,
} from "../state.ts";

export function Smaller(): JSX.Element {
  const sizes = originalSizes.value;
  if (model.value === undefined || sizes === undefined) return <p>No model is open.</p>;
  const before = sizes.total;
  const smallest = Math.min(...candidates.value.map(({ inspection }) => inspection.bytes));
  const chosen = current.value;
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
          <h2>original</h2>
          <Figures figures={originalFigures()} />
          <Treemap sizes={sizes} full={before} label="Bytes by layer of the original" />
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
      <Legend sizes={shown === undefined ? [sizes] : [sizes, shown]} />
      {candidates.value.length === 0 ? null : (
        <>
          <h2>Bytes against {samples.value?.metric.name ?? "the metric"}</h2>
          <CandidateChart />
          <h2>Results</h2>
          <Results />
        </>
      )}
    </section>
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
          max={50}
          step={0.5}
          value={maxDrop.value}
          onChange={(event) => {
            maxDrop.value = Math.max(0, Number(event.currentTarget.value) || 0);
          }}
        />{" "}
        points
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

function Presets(): JSX.Element {
  return (
    <fieldset class="techs">
      <legend class="sr">Technique</legend>
      {presets.map(({ id, name, summary }) => (
        <label key={id}>
          <input
            type="radio"
            name="preset"
            checked={settings.value.preset === id}
            onChange={() => {
              settings.value = initialSettings(id);
            }}
          />
          <b>{name}</b>
          <span class="est">{presetSize(initialSettings(id))}</span>
          <small>{summary}</small>
        </label>
      ))}
    </fieldset>
  );
}

/** Returns the measured bytes of a preset if a candidate has them, otherwise the estimate. */
function presetSize(preset: Settings): string {
  const candidate = candidates.value.find(({ name }) => name === nameOf(preset));
  if (candidate !== undefined) return bytesText(candidate.inspection.bytes);
  const estimate = model.value && estimateSizes(model.value.inspection, preset);
  return estimate === undefined ? "" : `≈ ${bytesText(estimate.total)}`;
}

function Tuning(): JSX.Element {
  const { slider, hasStorage } = findPreset(settings.value);
  return (
    <div class="tune">
      {slider === undefined ? null : (
        <label class="row">
          <span>{slider.label}</span>
          <input
            type="range"
            min={slider.min}
            max={slider.max}
            step={slider.step}
            value={settings.value.amount}
            onInput={(event) => {
              settings.value = { ...settings.value, amount: Number(event.currentTarget.value) };
            }}
          />
          <output>{slider.text(settings.value.amount)}</output>
        </label>
      )}
      {hasStorage === true ? (
        <fieldset class="row">
          <legend class="sr">Storage of the weights</legend>
          {(["static", "float32"] as const).map((storage) => (
            <label key={storage}>
              <input
                type="radio"
                name="storage"
                checked={settings.value.storage === storage}
                onChange={() => {
                  settings.value = { ...settings.value, storage };
                }}
              />
              {storage === "static" ? "int8 static" : storage}
            </label>
          ))}
        </fieldset>
      ) : null}
    </div>
  );
}

function RunButton(): JSX.Element {
  const { needsSamples } = findPreset(settings.value);
  if (samples.value === undefined && needsSamples)
    return (
      <div class="runbox">
        <p>This technique measures the model on samples.</p>
        <a class="button primary" href="#samples">
          Add samples
        </a>
      </div>
    );
  if (current.value !== undefined)
    return (
      <div class="runbox">
        <p>
          <b>{current.value.summary.gain || current.value.summary.sentences[0]}</b>
        </p>
        <button
          type="button"
          class="primary"
          onClick={() => {
            selectedId.value = current.value?.id;
            show("compare");
          }}
        >
          Compare
        </button>
      </div>
    );
  if (missingFiles.value !== undefined) return <MissingFiles place="smaller" />;
  return (
    <div class="runbox">
      <p>
        {estimatedSizes.value === undefined
          ? "Candidates of all techniques are tried, and the smallest that meets the goal is kept."
          : "The figures are an estimate from shapes. Run it to measure."}
      </p>
      <button type="button" class="primary" onClick={make}>
        Run {nameOf(settings.value)}
      </button>
    </div>
  );
}

function originalFigures(): readonly Figure[] {
  const inspection = model.value?.inspection;
  const estimate = samples.value?.original;
  const { "": brotli } = downloads.value;
  return [
    { term: "bytes", value: bytesText(inspection?.bytes ?? 0), detail: "measured" },
    {
      term: "brotli",
      value: typeof brotli === "number" ? bytesText(brotli) : undefined,
      detail: typeof brotli === "number" ? "measured" : "not measured",
    },
    {
      term: samples.value?.metric.name ?? "accuracy",
      value: estimate === undefined ? undefined : figureText(samples.value?.metric.unit ?? "", estimate.value),
      detail: estimate === undefined ? "needs labeled samples" : `${estimate.count} samples`,
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
      detail: total === undefined ? "found by the search" : `${timesText(before / total)} smaller, estimated`,
      isEstimate: total !== undefined,
    },
    { term: "brotli", value: undefined, detail: "not measured yet" },
    { term: samples.value?.metric.name ?? "accuracy", value: undefined, detail: "not measured yet" },
    { term: "speed", value: undefined, detail: "not measured yet" },
  ];
}

function candidateFigures(candidate: Candidate, before: number): readonly Figure[] {
  const { inspection, run, id } = candidate;
  const { [id]: brotli } = downloads.value;
  const speed = speedOf(candidate);
  const { unit, name: metric } = run?.metric ?? { unit: "", name: "accuracy" };
  const comparison = comparisonOf(candidate);
  return [
    {
      term: "bytes",
      value: bytesText(inspection.bytes),
      detail: `${timesText(before / inspection.bytes)} smaller`,
    },
    {
      term: "brotli",
      value: typeof brotli === "number" ? bytesText(brotli) : undefined,
      detail: typeof brotli === "number" ? "measured" : brotli === undefined ? "being measured" : "not measured",
    },
    {
      term: metric,
      value: comparison === undefined ? undefined : figureText(unit, comparison.candidate.value),
      detail:
        comparison === undefined
          ? "not measured"
          : `${differenceText(unit, comparison.difference.low)} … ${differenceText(unit, comparison.difference.high)}`,
    },
    {
      term: "speed",
      value: speed === undefined ? undefined : timesText(speed.median),
      detail: speed === undefined ? missingSpeedText(candidate) : `${speed.low.toFixed(2)} to ${speed.high.toFixed(2)}`,
    },
  ];
}

const marks = { good: "✓", doubt: "?", bad: "✗" };

function Results(): JSX.Element {
  const original = model.value;
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
            <th class="n">change, points</th>
            <th class="n">speed</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">original</th>
            <td class="n">{bytesText(original?.inspection.bytes ?? 0)}</td>
            <td class="n">{sizeText("")}</td>
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
            const { unit } = run?.metric ?? { unit: "" };
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
                  <small>{summary.word}</small>
                </th>
                <td class="n">{bytesText(inspection.bytes)}</td>
                <td class="n">{sizeText(id)}</td>
                <td class="n">{macsText(inspection.macs)}</td>
                <td class="n">{comparison === undefined ? "–" : figureText(unit, comparison.candidate.value)}</td>
                <td class="n">{comparison === undefined ? "–" : differenceText(unit, comparison.difference.value)}</td>
                <td class="n">{speed === undefined ? "–" : timesText(speed.median)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Wide>
  );
}

function sizeText(id: string): string {
  const { [id]: size } = downloads.value;
  return typeof size === "number" ? bytesText(size) : "–";
}

const macsText = (macs: { readonly count: number | undefined } | undefined): string =>
  macs?.count === undefined ? "–" : countText(macs.count);
