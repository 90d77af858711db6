/** States that a candidate is slower than the original on WebAssembly, and offers what is not. */
import type { JSX } from "preact";
import type { Candidate, PresetId } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { bytesText, timesText } from "../format.ts";
import { speedOf } from "../measurements.ts";
import { findPreset, initialSettings } from "../settings/presets.ts";
import { candidates, samples, settings, show, shownBytes } from "../state/signals.ts";
import { Alert } from "./alert.tsx";

/** Speed, relative to the original's, from which a candidate is about as fast. */
const aboutAsFast = 0.95;

/** Techniques whose files compute in float, from the smallest file to the fastest. */
const floatPresets: readonly PresetId[] = ["download", "weights", "float16"];

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
  const triedPresets = new Set(candidates.value.map(({ settings: chosen }) => chosen?.preset));
  const offered = floatPresets
    .map((preset) => findPreset({ preset }))
    .filter(({ id, needsSamples }) => !triedPresets.has(id) && (!needsSamples || samples.value !== undefined));
  const isInteger = candidate.settings?.preset === "static";
  return (
    <Alert mood="warn">
      <p>
        <b>
          In a page, this candidate runs at {timesText(speed.median)} the speed of the original.
          {isInteger ? " WebAssembly computes 8-bit layers of this model more slowly than float." : ""}
        </b>
      </p>
      <p>
        {faster === undefined ? (
          <>
            {offered.length === 0 ? "No other candidate is faster." : "These compute in float: "}
            {offered.map(({ id, name }) => (
              <button
                key={id}
                type="button"
                onClick={() => {
                  settings.value = initialSettings(id);
                  show("smaller");
                }}
              >
                Try {name}
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
