import type { JSX } from "preact";
import type { Settings } from "../backend/backend.ts";
import { isServed } from "../backend/kind.ts";
import { bytesText, durationText, unbroken, withoutFlags } from "../format.ts";
import { resultNumbers, resultSentence } from "../measurements.ts";
import { findPreset, initialSettings, nameOf, type Preset, presets } from "../settings/presets.ts";
import { make, settingsOf, startClock } from "../state/making.ts";
import {
  candidates,
  choose,
  current,
  isMaking,
  job,
  missingFiles,
  model,
  queue,
  samples,
  settings,
  show,
  shownBytes,
} from "../state/signals.ts";
import { estimatedBytes, estimatedSizes } from "../state/sizes.ts";
import { folder } from "../transformers-folder.ts";
import { MissingFiles } from "./missing-files.tsx";
import { TestOnAll } from "./test-on-all.tsx";

/** The techniques, each with its size. */
export function Presets(): JSX.Element {
  return (
    <fieldset class="techs">
      <legend class="sr">Technique</legend>
      {presets.filter(isOffered).map(({ id, name, summary }) => (
        <label key={id}>
          <input
            type="radio"
            name="preset"
            checked={settings.value.preset === id}
            onChange={() => {
              settings.value = settingsOf(id);
            }}
          />
          <b>{name}</b>
          <span class="est">{presetSize(settingsOf(id))}</span>
          <small>{summary}</small>
        </label>
      ))}
    </fieldset>
  );
}

const isOffered = ({ isForFolders }: Preset): boolean => isForFolders !== true || folder.value !== undefined;

/** Returns the measured size of a preset if a candidate has it, otherwise the estimate. */
function presetSize(preset: Settings): string {
  const candidate = candidates.value.findLast(({ name }) => name === nameOf(preset));
  const measured = candidate && shownBytes(candidate.id, candidate.inspection.bytes);
  if (measured !== undefined) return bytesText(measured);
  const estimate = estimatedBytes(preset);
  if (estimate !== undefined) return `≈ ${bytesText(estimate)}`;
  // Its values compress better than those of int8, by a share that only a run shows.
  const bound = preset.preset === "download" ? estimatedBytes(initialSettings("static")) : undefined;
  return bound === undefined ? "" : `< ${bytesText(bound)}`;
}

/** The slider, the storage and the recovery of the chosen technique. */
export function Tuning(): JSX.Element {
  const { slider, isRecovered, fast } = findPreset(settings.value);
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
      {settings.value.dtype === undefined ? null : (
        <label class="row">
          <span>dtype</span>
          <select
            value={settings.value.dtype.name}
            onChange={(event) => {
              const dtype = model.value?.dtypes.find(({ name }) => name === event.currentTarget.value);
              if (dtype !== undefined) settings.value = { ...settings.value, dtype };
            }}
          >
            {model.value?.dtypes.map(({ name, meaning }) => (
              <option key={name} value={name} title={meaning}>
                {name}
              </option>
            ))}
          </select>
        </label>
      )}
      {isRecovered === true ? (
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
      {isRecovered === true && settings.value.isFast !== true ? (
        <label class="check">
          <input
            type="checkbox"
            checked={settings.value.isTrained === true}
            onChange={(event) => {
              settings.value = { ...settings.value, isTrained: event.currentTarget.checked };
            }}
          />
          train afterwards, which takes minutes
        </label>
      ) : null}
      {fast === undefined ? null : (
        <label class="check">
          <input
            type="checkbox"
            checked={settings.value.isFast === true}
            onChange={(event) => {
              settings.value = { ...settings.value, isFast: event.currentTarget.checked };
            }}
          />
          {fast}
        </label>
      )}
    </div>
  );
}

/** The settings that wait for the running candidate. */
export function Queue(): JSX.Element | null {
  if (queue.value.length === 0) return null;
  return (
    <ul class="plain queue" aria-label="Waiting">
      {queue.value.map((waiting, index) => (
        <li key={index}>
          <span>{nameOf(waiting)} waits</span>
          <button
            type="button"
            class="link"
            aria-label={`Remove ${nameOf(waiting)}`}
            onClick={() => {
              queue.value = queue.value.filter((_, position) => position !== index);
            }}
          >
            remove
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Bytes of a model that needs most of the 4 GB of WebAssembly: its weights, those of the result, and the file. */
const maxTabBytes = 1e9;

/** Runs the settings, or shows what is needed before. */
export function RunButton(): JSX.Element | null {
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
          <b>{resultSentence(resultNumbers(current.value))}</b>
        </p>
        <p>
          {current.value.summary.word}: {unbroken(withoutFlags(current.value.summary.sentences[0] ?? ""))}
        </p>
        <div class="actions">
          {" "}
          <button
            type="button"
            class="primary"
            onClick={() => {
              choose(current.value?.id ?? "");
              show("compare");
            }}
          >
            Compare
          </button>
          <TestOnAll candidate={current.value} />
        </div>
      </div>
    );
  const name = nameOf(settings.value);
  const isWaiting = [job.value?.settings, ...queue.value].some((each) => each !== undefined && nameOf(each) === name);
  if (isWaiting) return null;
  if (missingFiles.value !== undefined) return <MissingFiles place="smaller" />;
  return (
    <div class="runbox">
      <p>
        {estimatedSizes.value === undefined
          ? `Candidates of all techniques are tried. The smallest on disk that meets the goal and is about as fast as the original is kept. This takes ${durationText(startClock(settings.value).expectedSeconds)} at most, with the test of the best ones.`
          : "The sizes are estimates. Run it to measure."}
      </p>
      {!isServed && (model.value?.inspection.bytes ?? 0) > maxTabBytes ? (
        <p class="doubt">
          A tab has hardly enough memory for a model above {bytesText(maxTabBytes)}.{" "}
          <code>npx --no-install pith studio</code> uses that of this computer.
        </p>
      ) : null}
      <button type="button" class="primary" onClick={make}>
        {isMaking.value ? "Then run" : "Run"} {name}
      </button>
    </div>
  );
}
