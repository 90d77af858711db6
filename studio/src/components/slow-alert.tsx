/** States that a candidate is slower than the original on WebAssembly, and offers what is not. */
import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { bytesText, timesText } from "../format.ts";
import { speedOf } from "../measurements.ts";
import { initialSettings, type PresetId } from "../settings/presets.ts";
import { candidates, samples, settings, show, shownBytes } from "../state.ts";
import { Alert } from "./alert.tsx";

/** Speed, relative to the original's, from which a candidate is about as fast. */
const aboutAsFast = 0.95;

/** Techniques whose files compute in float, with the weights that the runtime has decoded when it loads them. */
const floatPresets: readonly (readonly [id: PresetId, title: string])[] = [
  ["download", "smallest download"],
  ["weights", "int8 weights"],
];

export function SlowAlert({
  candidate,
  onPick,
}: {
  candidate: Candidate;
  onPick: (candidate: Candidate) => void;
}): JSX.Element | null {
  const speed = speedOf(candidate);
  if (isServed || speed === undefined || speed.high >= aboutAsFast) return null;
  const sizeOf = ({ id, inspection }: Candidate): number => shownBytes(id, inspection.bytes) ?? inspection.bytes;
  const [faster] = candidates.value
    .filter((other) => other.summary.mood !== "bad" && (speedOf(other)?.median ?? 0) >= aboutAsFast)
    .toSorted((a, b) => sizeOf(a) - sizeOf(b));
  const offered = floatPresets.filter(
    ([id]) => candidate.settings?.preset !== id && (id !== "download" || samples.value !== undefined),
  );
  return (
    <Alert mood="warn">
      <p>
        <b>
          In a page, this candidate runs at {timesText(speed.median)} the speed of the original: WebAssembly computes
          8-bit layers more slowly than float.
        </b>
      </p>
      <p>
        {faster === undefined ? (
          <>
            These store 8 bits and compute in float:{" "}
            {offered.map(([id, title]) => (
              <button
                key={id}
                type="button"
                onClick={() => {
                  settings.value = initialSettings(id);
                  show("smaller");
                }}
              >
                Try {title}
              </button>
            ))}
          </>
        ) : (
          <>
            About as fast as the original, or faster:{" "}
            <button type="button" onClick={() => onPick(faster)}>
              {faster.name}, {bytesText(sizeOf(faster))}
            </button>
          </>
        )}
      </p>
    </Alert>
  );
}
