import type { JSX } from "preact";
import { speedText } from "../../../src/core/numbers.ts";
import type { Candidate } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { Drawing } from "../components/drawings.tsx";
import { Figures, figureValue } from "../components/figures.tsx";
import { LayerErrorChart } from "../components/layer-error-chart.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { ShareBox } from "../components/share-box.tsx";
import { SizeSwitch } from "../components/size-switch.tsx";
import { SlowAlert } from "../components/slow-alert.tsx";
import { Verdict } from "../components/verdict.tsx";
import { bytesText, countText } from "../format.ts";
import { downloadFigure, missingSpeedText, resultNumbers, resultSentence, speedOf } from "../measurements.ts";
import { measureOnGpu, measureSpeed } from "../state/making.ts";
import {
  candidates,
  choose,
  gpuSpeeds,
  job,
  missingFiles,
  model,
  selected,
  show,
  shownBytes,
} from "../state/signals.ts";
import { originalSizes } from "../state/sizes.ts";

export function Compare(): JSX.Element {
  const candidate = selected.value ?? candidates.value.at(-1);
  const sizes = originalSizes.value;
  if (candidate === undefined || sizes === undefined) return <NoCandidate />;
  const { run } = candidate;
  return (
    <section>
      <CandidatePicker label="Compare" candidate={candidate} onPick={choose} />
      <h1>{resultSentence(resultNumbers(candidate))}</h1>
      <Verdict candidate={candidate} />
      <SlowAlert candidate={candidate} onPick={({ id }) => choose(id)} />
      <ShareBox key={candidate.id} candidate={candidate} />
      {run === undefined ? null : <Drawing draw={({ drawDisagreements }) => drawDisagreements(run)} />}
      <h2>Size and speed</h2>
      <SizeAndSpeed candidate={candidate} />
      <h2>Signal to noise by layer: higher is better</h2>
      <LayerErrorChart key={candidate.id} candidate={candidate} />
      <div class="actions">
        <button
          type="button"
          class="primary"
          onClick={() => {
            choose(candidate.id);
            show("take");
          }}
        >
          Take {candidate.name}
        </button>
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

interface PickerProps {
  readonly label: string;
  readonly candidate: Candidate;
  readonly onPick: (id: string) => void;
}

export function CandidatePicker({ label, candidate, onPick }: PickerProps): JSX.Element {
  return (
    <p class="picks">
      <label>
        {label}{" "}
        <select value={candidate.id} onChange={(event) => onPick(event.currentTarget.value)}>
          {candidates.value.map(({ id, name, inspection }) => (
            <option key={id} value={id}>
              {bytesText(shownBytes(id, inspection.bytes) ?? inspection.bytes)}, {name}
            </option>
          ))}
        </select>
      </label>{" "}
      <SizeSwitch />
    </p>
  );
}

function SizeAndSpeed({ candidate }: { candidate: Candidate }): JSX.Element {
  const { inspection, timing, id } = candidate;
  const original = model.value?.inspection;
  const downloads = (["brotli", "gzip"] as const).map((encoding) => {
    const before = downloadFigure("", original?.bytes ?? 0, encoding);
    const after = downloadFigure(id, inspection.bytes, encoding);
    const term = encoding === "brotli" ? "download (brotli)" : encoding;
    return before.value === undefined ? { ...after, term } : { ...after, term, detail: `from ${figureValue(before)}` };
  });
  const speed = speedOf(candidate);
  const { original: originalTimes, candidate: times } = timing ?? {};
  return (
    <>
      <Figures
        figures={[
          ...downloads,
          { term: "on disk", value: bytesText(inspection.bytes), detail: `from ${bytesText(original?.bytes ?? 0)}` },
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
        {speed === undefined ? missingSpeedText(candidate) : speedText(speed, " as fast as the original")}.{" "}
        {timing?.isUnsteady === true ? (
          <button
            type="button"
            class="link"
            disabled={job.value !== undefined || missingFiles.value !== undefined}
            onClick={() => measureSpeed(candidate)}
          >
            Measure it again
          </button>
        ) : null}
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
