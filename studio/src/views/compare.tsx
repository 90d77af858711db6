import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { Drawing } from "../components/drawings.tsx";
import { Figures, figureValue } from "../components/figures.tsx";
import { LayerErrorChart } from "../components/layer-error-chart.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { Verdict } from "../components/verdict.tsx";
import { bytesText, countText, integerText, speedText, timesText } from "../format.ts";
import { changedCount, downloadFigure, missingSpeedText, speedOf } from "../measurements.ts";
import {
  candidates,
  gpuSpeeds,
  job,
  measureOnGpu,
  missingFiles,
  model,
  originalSizes,
  selected,
  selectedId,
} from "../state.ts";

export function Compare(): JSX.Element {
  const candidate = selected.value ?? candidates.value.at(-1);
  const sizes = originalSizes.value;
  if (candidate === undefined || sizes === undefined) return <NoCandidate />;
  const { inspection, run } = candidate;
  const changed = changedCount(candidate);
  return (
    <section>
      <CandidatePicker label="Compare" candidate={candidate} />
      <h1>
        {timesText(sizes.total / inspection.bytes)} smaller
        {changed === undefined
          ? "."
          : `; ${integerText(changed.count)} of ${integerText(changed.of)} predictions change.`}
      </h1>
      <Verdict candidate={candidate} />
      {run === undefined ? null : <Drawing draw={({ drawDisagreements }) => drawDisagreements(run)} />}
      <h2>Size and speed</h2>
      <SizeAndSpeed candidate={candidate} />
      <h2>Error by layer</h2>
      <LayerErrorChart key={candidate.id} candidate={candidate} />
      <div class="actions">
        <a class="button primary" href="#take">
          Take {candidate.name}
        </a>
        <a href="#smaller">Make another candidate</a>
      </div>
    </section>
  );
}

export const NoCandidate = (): JSX.Element => (
  <section>
    <h1>No candidate has been made yet.</h1>
    <p>
      <a class="button primary" href="#smaller">
        Make it smaller
      </a>
    </p>
  </section>
);

export function CandidatePicker({ label, candidate }: { label: string; candidate: Candidate }): JSX.Element {
  return (
    <p class="picks">
      <label>
        {label}{" "}
        <select
          value={candidate.id}
          onChange={(event) => {
            selectedId.value = event.currentTarget.value;
          }}
        >
          {candidates.value.map(({ id, name, inspection }) => (
            <option key={id} value={id}>
              {name}, {bytesText(inspection.bytes)}
            </option>
          ))}
        </select>
      </label>
    </p>
  );
}

function SizeAndSpeed({ candidate }: { candidate: Candidate }): JSX.Element {
  const { inspection, timing, id } = candidate;
  const original = model.value?.inspection;
  const downloads = (["gzip", "brotli"] as const).map((encoding) => {
    const before = downloadFigure("", original?.bytes ?? 0, encoding);
    const after = downloadFigure(id, inspection.bytes, encoding);
    return before.value === undefined ? after : { ...after, detail: `from ${figureValue(before)}` };
  });
  const speed = speedOf(candidate);
  const { original: originalTimes, candidate: times, rounds } = timing ?? {};
  return (
    <>
      <Figures
        figures={[
          { term: "bytes", value: bytesText(inspection.bytes), detail: `from ${bytesText(original?.bytes ?? 0)}` },
          ...downloads,
          {
            term: "load time",
            value: times === undefined ? undefined : `${Math.round(times.load)}\u00a0ms`,
            detail: originalTimes === undefined ? "not measured" : `from ${Math.round(originalTimes.load)}\u00a0ms`,
          },
          {
            term: "multiply-accumulates",
            value: inspection.macs?.count === undefined ? undefined : countText(inspection.macs.count),
            detail: original?.macs?.count === undefined ? "" : `from ${countText(original.macs.count)}`,
          },
        ]}
      />
      <p>
        Speed on {isServed ? "the native runtime" : "WebAssembly"}:{" "}
        {speed === undefined ? missingSpeedText(candidate) : speedText(speed, rounds)}.
      </p>
      <ProblemAlert place="compare" />
      <ProgressBox place="compare" />
      {isServed || job.value?.place === "compare" ? null : <SpeedOnGpu candidate={candidate} />}
    </>
  );
}

/** The speed on WebGPU, measured on request, or why it was not measured. */
function SpeedOnGpu({ candidate }: { candidate: Candidate }): JSX.Element {
  const text = "gpu" in navigator ? gpuSpeeds.value[candidate.id] : "not measured, because this browser has no WebGPU.";
  if (text !== undefined) return <p>Speed on WebGPU: {text}</p>;
  return (
    <p>
      <button
        type="button"
        disabled={job.value !== undefined || missingFiles.value !== undefined}
        onClick={() => measureOnGpu(candidate)}
      >
        Measure the speed on WebGPU
      </button>
    </p>
  );
}
