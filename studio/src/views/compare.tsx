import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Candidate } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { Figures, figureValue } from "../components/figures.tsx";
import { MissingFiles } from "../components/missing-files.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { className, Sample } from "../components/sample.tsx";
import { Legend, Treemap } from "../components/treemap.tsx";
import { Verdict } from "../components/verdict.tsx";
import { bytesText, countText, integerText, percentText, timesText } from "../format.ts";
import { changedCount, downloadFigure, missingSpeedText, speedOf } from "../measurements.ts";
import { measuredSizes } from "../settings/estimate.ts";
import {
  backendOf,
  candidates,
  layerErrors,
  missingFiles,
  model,
  originalSizes,
  selected,
  selectedId,
} from "../state.ts";

export function Compare(): JSX.Element {
  const candidate = selected.value ?? candidates.value.at(-1);
  const sizes = originalSizes.value;
  if (candidate === undefined || sizes === undefined)
    return (
      <section>
        <h1>No candidate has been made yet.</h1>
        <p>
          <a class="button primary" href="#smaller">
            Make it smaller
          </a>
        </p>
      </section>
    );
  const { inspection } = candidate;
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
      <Changed candidate={candidate} />
      <h2>Size and speed</h2>
      <SizeAndSpeed candidate={candidate} />
      <h2>Error by layer</h2>
      <LayerErrorChart key={candidate.id} candidate={candidate} />
      <h2>Bytes by layer, before and after</h2>
      <div class="split">
        <div>
          <p class="note">original, {bytesText(sizes.total)}</p>
          <Treemap sizes={sizes} full={sizes.total} label="Bytes by layer of the original" />
        </div>
        <div>
          <p class="note">
            {candidate.name}, {bytesText(inspection.bytes)}
          </p>
          <Treemap sizes={measuredSizes(inspection)} full={sizes.total} label={`Bytes by layer of ${candidate.name}`} />
        </div>
      </div>
      <Legend sizes={[sizes, measuredSizes(inspection)]} />
      <div class="actions">
        <a class="button primary" href="#take">
          Take {candidate.name}
        </a>
        <a href="#smaller">Make another candidate</a>
      </div>
    </section>
  );
}

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

function Changed({ candidate }: { candidate: Candidate }): JSX.Element | null {
  const changed = changedCount(candidate);
  const { run } = candidate;
  if (changed === undefined || run === undefined) return null;
  return (
    <>
      <h2>Changed predictions</h2>
      {run.disagreements.length === 0 ? (
        <p>No prediction changes.</p>
      ) : (
        <>
          <p class="note">
            {run.disagreements.length < changed.count
              ? `${run.disagreements.length} of the ${changed.count} samples with different predictions, evenly spread.`
              : `All samples with different predictions: ${changed.count}.`}
          </p>
          <ul class="samples changed">
            {run.disagreements.map(({ sample, label, original, variant, shown }) => (
              <li key={sample}>
                <Sample view={shown} />
                <table>
                  <tbody>
                    <tr>
                      <td>sample {sample}</td>
                      <td>{label === undefined ? "" : `labeled ${className(label)}`}</td>
                    </tr>
                    {(
                      [
                        ["original", original],
                        ["candidate", variant],
                      ] as const
                    ).map(([name, index]) => (
                      <tr key={name}>
                        <td>{name}</td>
                        <td class={label === undefined ? undefined : index === label ? "good" : "bad"}>
                          <b>{className(index)}</b>
                          {label === undefined ? "" : index === label ? " ✓" : " ✗"}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

function SizeAndSpeed({ candidate }: { candidate: Candidate }): JSX.Element {
  const { inspection, timing, id } = candidate;
  const original = model.value?.inspection;
  const [after, before] = [downloadFigure(id, inspection.bytes), downloadFigure("", original?.bytes ?? 0)];
  const speed = speedOf(candidate);
  const { original: originalTimes, candidate: times, rounds } = timing ?? {};
  return (
    <>
      <Figures
        figures={[
          { term: "bytes", value: bytesText(inspection.bytes), detail: `from ${bytesText(original?.bytes ?? 0)}` },
          { ...after, ...(before.value === undefined ? {} : { detail: `from ${figureValue(before)}` }) },
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
      {speed === undefined ? (
        <p>Speed: {missingSpeedText(candidate)}.</p>
      ) : (
        <p>
          Speed on {isServed ? "the native runtime" : "WebAssembly"}: <b>{timesText(speed.median)}</b> (
          {speed.low.toFixed(2)} to {speed.high.toFixed(2)}, 10th to 90th percentile of {rounds} interleaved rounds).
        </p>
      )}
    </>
  );
}

function LayerErrorChart({ candidate: { id, file } }: { candidate: Candidate }): JSX.Element {
  const { [id]: measured } = layerErrors.value;
  const isMissing = missingFiles.value !== undefined;
  useEffect(() => {
    if (measured !== undefined || isMissing) return;
    backendOf()
      .call("layerErrors", [file])
      .then(
        (result) => {
          layerErrors.value = { ...layerErrors.value, [id]: result };
        },
        (error: Error) => {
          layerErrors.value = { ...layerErrors.value, [id]: error.message };
        },
      );
  }, [id, isMissing]);
  if (measured === undefined && isMissing)
    return (
      <>
        <ProblemAlert place="compare" />
        <ProgressBox place="compare" />
        <MissingFiles place="compare" />
      </>
    );
  if (measured === undefined) return <p class="note">The layers are being compared …</p>;
  if (typeof measured === "string") return <p>Not measured: {measured}</p>;
  const top = 60;
  const height = 160;
  const layers = measured.layers.filter(({ signalToNoise }) => Number.isFinite(signalToNoise));
  if (layers.length === 0) return <p>No layer’s output differs.</p>;
  const width = 960;
  const step = width / layers.length;
  const y = (decibels: number): number => height - (height * Math.max(0, Math.min(top, decibels))) / top;
  const worst = measured.layers.toSorted((a, b) => (b.share ?? 0) - (a.share ?? 0))[0];
  return (
    <figure>
      <svg
        class="chart"
        viewBox={`-40 -8 ${width + 48} ${height + 30}`}
        role="img"
        aria-label="Signal to noise by layer"
      >
        {[0, 20, 40, 60].map((tick) => (
          <g key={tick}>
            <line class="grid" x1={0} x2={width} y1={y(tick)} y2={y(tick)} />
            <text class="tick" x={-6} y={y(tick) + 4} text-anchor="end">
              {tick} dB
            </text>
          </g>
        ))}
        {layers.map(({ layer, own, signalToNoise }, index) => (
          <rect
            key={layer}
            class={layer === worst?.layer ? "bar worst" : "bar"}
            x={index * step + step * 0.15}
            width={step * 0.7}
            y={y(own ?? signalToNoise)}
            height={height - y(own ?? signalToNoise)}
          />
        ))}
        <polyline
          class="line"
          points={layers.map(({ signalToNoise }, index) => `${(index + 0.5) * step},${y(signalToNoise)}`).join(" ")}
        />
      </svg>
      <figcaption>
        Signal to noise in dB; 20 dB less is ten times the error. Bars: the layer alone, with the original’s inputs.
        Line: with the errors of all layers before it.
        {worst?.share === undefined
          ? ""
          : ` Largest share of the error: ${worst.layer}, ${percentText(Math.min(1, worst.share))}.`}
      </figcaption>
    </figure>
  );
}
