import type { LayerErrors } from "pith/evaluate";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Candidate } from "../backend/backend.ts";
import { percentText } from "../format.ts";
import { backendOf, layerErrors, missingFiles } from "../state.ts";
import { MissingFiles } from "./missing-files.tsx";
import { useWidth } from "./width.ts";

/** The error of each layer of a candidate. Measures it when it is shown for the first time. */
export function LayerErrorChart({ candidate: { id, file } }: { candidate: Candidate }): JSX.Element {
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
  if (measured === undefined && isMissing) return <MissingFiles place="compare" />;
  if (measured === undefined) return <p class="note">The layers are being compared …</p>;
  if (typeof measured === "string") return <p>Not measured: {measured}</p>;
  return <Chart errors={measured} />;
}

const height = 160;
/** Decibels at the upper edge; more is hardly an error. */
const maxDecibels = 60;

function Chart({ errors }: { errors: LayerErrors }): JSX.Element {
  const frame = useRef<HTMLElement>(null);
  const width = Math.max(120, useWidth(frame) - 48);
  const layers = errors.layers.filter(({ signalToNoise }) => Number.isFinite(signalToNoise));
  if (layers.length === 0) return <p>No layer’s output differs.</p>;
  const step = width / layers.length;
  const y = (decibels: number): number =>
    height - (height * Math.max(0, Math.min(maxDecibels, decibels))) / maxDecibels;
  const worst = errors.layers.toSorted((a, b) => (b.share ?? 0) - (a.share ?? 0))[0];
  return (
    <figure ref={frame}>
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
          >
            <title>{`${layer}: ${(own ?? signalToNoise).toFixed(1)} dB`}</title>
          </rect>
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
