/** Frame of the page: header, steps, the current view. */
import type { JSX } from "preact";
import { isServed } from "./backend/kind.ts";
import { bytesText, integerText } from "./format.ts";
import {
  candidates,
  isMaking,
  job,
  model,
  queue,
  samples,
  selected,
  shownBytes,
  takenCandidate,
  type ViewName,
  view,
} from "./state/signals.ts";
import { Compare } from "./views/compare.tsx";
import { ModelPage } from "./views/model.tsx";
import { Result } from "./views/result.tsx";
import { Samples } from "./views/samples.tsx";
import { Smaller } from "./views/smaller.tsx";
import { Start } from "./views/start.tsx";
import { Take } from "./views/take.tsx";

const steps: readonly (readonly [name: ViewName, title: string, summary: () => string])[] = [
  ["model", "Model", () => (model.value === undefined ? "" : bytesText(model.value.inspection.bytes))],
  [
    "samples",
    "Samples",
    () =>
      samples.value === undefined
        ? ""
        : `${integerText(samples.value.tested)}, ${samples.value.isLabeled ? "labeled" : "without labels"}`,
  ],
  [
    "smaller",
    "Smaller",
    () => {
      const count = candidates.value.length;
      if (isMaking.value) return queue.value.length === 0 ? "running" : `running, ${queue.value.length} waiting`;
      return model.value === undefined
        ? ""
        : count === 0
          ? "no candidate"
          : `${count} ${count === 1 ? "candidate" : "candidates"}`;
    },
  ],
  ["compare", "Compare", () => selected.value?.summary.word ?? ""],
  [
    "take",
    "Take",
    () => {
      const { id, inspection } = takenCandidate.value ?? {};
      if (id === undefined || inspection === undefined) return "";
      return bytesText(shownBytes(id, inspection.bytes) ?? inspection.bytes);
    },
  ],
];

const views: Readonly<Record<ViewName, () => JSX.Element>> = {
  start: Start,
  result: Result,
  model: ModelPage,
  samples: Samples,
  smaller: Smaller,
  compare: Compare,
  take: Take,
};

export function App(): JSX.Element {
  const View = views[view.value];
  return (
    <>
      <button type="button" class="skip" onClick={() => document.querySelector<HTMLElement>("main")?.focus()}>
        Skip to content
      </button>
      <div class="bar">
        <header class="top">
          <a class="brand" href="#start">
            Pith Studio
          </a>
          <p class="file">
            {model.value === undefined ? (
              "no model open"
            ) : (
              <>
                <span class="name">{model.value.name}</span>, {bytesText(model.value.inspection.bytes)}
              </>
            )}
          </p>
          <p class="local">{isServed ? "Runs on this computer with the native runtime" : "Nothing leaves this tab"}</p>
        </header>
      </div>
      <nav class="steps" aria-label="Steps">
        <ol>
          {steps.map(([name, title, summary], index) => (
            <li key={name}>
              <a
                href={`#${name}`}
                aria-current={view.value === name ? "step" : undefined}
                data-open={model.value !== undefined}
              >
                <span class="num">{index + 1} </span>
                {title}
                <small>{summary()}</small>
              </a>
            </li>
          ))}
        </ol>
      </nav>
      <main id="main" tabIndex={-1}>
        <View />
      </main>
      <footer>
        <p>
          Pith Studio, Apache-2.0. The model and the samples are read, changed and run{" "}
          {isServed ? "on this computer" : "by this page"}. Nothing is sent to other machines.
        </p>
        <p role="status" aria-live="polite" class="sr">
          {job.value === undefined ? "" : `${job.value.name}: ${job.value.stage ?? "running"}`}
        </p>
      </footer>
    </>
  );
}
