/** A result that somebody else found, by its address: what was found, and how it is found again. */
import type { JSX } from "preact";
import type { ChosenFiles } from "../backend/backend.ts";
import { ProblemAlert } from "../components/alert.tsx";
import { DropZone } from "../components/drop-zone.tsx";
import { ProgressBox } from "../components/progress.tsx";
import { Bars } from "../components/share-box.tsx";
import { examples, openExample } from "../examples.ts";
import { timesText } from "../format.ts";
import { resultSentence } from "../measurements.ts";
import { findPreset, nameOf } from "../settings/presets.ts";
import { type SharedResult, sharedResult } from "../share.ts";
import { make } from "../state/making.ts";
import { openModel } from "../state/opening.ts";
import { claim, job, maxDrop, model, modelSource, samples, settings, show } from "../state/signals.ts";
import { continueSession, storedSessions } from "../storage/keep.ts";

export function Result(): JSX.Element {
  const { value } = sharedResult;
  if (value === undefined) return <p>This address names no result.</p>;
  const example = examples.find(({ name }) => name === value.example);
  const stored = storedSessions.value.find(({ key }) => value.key !== "" && key.startsWith(value.key));
  return (
    <section>
      <p class="eyebrow">
        <span class="name">{value.model}</span>, {nameOf(value.settings)}
      </p>
      <h1>{resultSentence(value)}</h1>
      <p class="lead">
        {timesText(value.before / (value.after || 1))} smaller. The link claims this result; the page measures it when
        you make it again. The model never left the page of the person who made it.
      </p>
      <Bars numbers={value} />
      <ProblemAlert place="start" />
      <ProgressBox place="start" />
      {stored === undefined ? null : (
        <p>
          <button
            type="button"
            class="primary"
            disabled={job.value !== undefined}
            onClick={() => continueSession(stored)}
          >
            Open it from this machine
          </button>
        </p>
      )}
      {example === undefined ? (
        <DropZone
          title={`Drop ${value.model} here to make it again`}
          accept=".onnx,.onnx_data,.data"
          onFiles={(files) => openShared(value, files)}
        >
          <p class="note">Your own model works, too: it gets the same settings. Nothing is uploaded.</p>
        </DropZone>
      ) : (
        <p>
          <button
            type="button"
            class={stored === undefined ? "primary" : undefined}
            disabled={job.value !== undefined}
            onClick={() => makeExample(value, example)}
          >
            Make it again with the example “{example.title}”
          </button>
        </p>
      )}
      <p>
        <a href="#start">Start with another model</a>
      </p>
    </section>
  );
}

function applySettings(result: SharedResult): void {
  settings.value = result.settings;
  maxDrop.value = result.maxDrop;
  const { preprocess, data, samples: tested } = result;
  claim.value = { sentence: resultSentence(result), preprocess, data, samples: tested };
}

async function openShared(result: SharedResult, files: ChosenFiles): Promise<void> {
  if (!(await openModel(files))) return;
  applySettings(result);
  show(findPreset(result.settings).needsSamples ? "samples" : "smaller");
}

async function makeExample(result: SharedResult, example: (typeof examples)[number]): Promise<void> {
  await openExample(example);
  if (modelSource.value === undefined || model.value === undefined || samples.value === undefined) return;
  applySettings(result);
  show("smaller");
  await make();
}
