/** Builds the sections of a run's page: key figures, steps with training charts, rejected variants, and the setup of the run. */
import {
  bytes,
  confidenceText,
  count,
  counted,
  figure,
  figureInterval,
  integer,
  percent,
  runTime,
  times,
} from "../../core/numbers.ts";
import { type Change, changeText } from "../../core/pass/pass.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import type { Run, Samples, StepRecord } from "../../judge/record/data.ts";
import { benchCommand, filesOf, quoteWord, targetFlag } from "../../judge/record/shell-command.ts";
import { chosenOf, comparesWithOriginal, steadyTimingOf, targetLines, timingText } from "../../judge/record/verdict.ts";
import { type Content, html, type Markup } from "./markup.ts";
import { trainingChart } from "./training-chart.ts";

const maxNames = 40;
const maxLength = 300;
const maxChanges = 12;

export function keyFigures(run: Run): Markup {
  const chosen = chosenOf(run);
  const { original, metric } = run;
  const result = chosen?.result;
  const renderFigure = (title: string, text: Content, note?: Content): Markup =>
    html`<div><dt>${title}</dt><dd>${text}${note !== undefined && html`<small>${note}</small>`}</dd></div>`;
  const fromTo = (before: number | undefined, after: number | undefined, text: (value: number) => string): Content => {
    if (before === undefined) return "–";
    if (after === undefined) return text(before);
    if (text(after) === text(before)) return html`${text(after)}<small>unchanged</small>`;
    return html`${text(after)}<small>from ${text(before)}${after > 0 && `, ${times(before / after)}`}</small>`;
  };
  const estimate = result?.estimate ?? original.estimate;
  const hasInterval = result !== undefined || !comparesWithOriginal(run);
  const speed = run.chosen === undefined ? undefined : steadyTimingOf(run)?.models[run.chosen + 1];
  return html`<dl class="figures">
${renderFigure("bytes", fromTo(original.bytes, result?.bytes, bytes))}
${original.gzip !== undefined && renderFigure("compressed (gzip)", fromTo(original.gzip, result?.gzip, bytes))}
${original.brotli !== undefined && renderFigure("compressed (brotli)", fromTo(original.brotli, result?.brotli, bytes))}
${renderFigure(metric.name, figure(metric.unit, estimate.value), hasInterval ? `${confidenceText(estimate)} interval ${figureInterval(metric.unit, estimate)}` : undefined)}
${speed !== undefined && renderFigure("speed", times(speed.speedup.median), `${runTime(speed.milliseconds.median)} per run`)}
${original.macs !== undefined && renderFigure("multiply-accumulates", fromTo(original.macs, result?.macs, count))}
</dl>`;
}

export function doneSection(run: Run): Markup | undefined {
  const chosen = chosenOf(run);
  if (chosen === undefined || chosen.steps.length === 0) return undefined;
  return html`<h2>Steps</h2>
${chosen.steps.map(
  (step) => html`<h3>${step.name}</h3>
<p class="note">${[optionsText(step), lossText(step), `${step.seconds.toFixed(1)} s`].filter((text) => text !== "").join(" · ")}</p>
${trainingChart(step)}${changesOf(step)}`,
)}`;
}

export function rejectedSection(run: Run): Markup | undefined {
  const variants = run.variants.filter(({ rejected }) => rejected !== undefined);
  const misses = run.variants.flatMap(({ steps }) =>
    steps.flatMap((step) => step.misses.map(({ at, reason }) => ({ at, reason: `${step.id}: ${reason}` }))),
  );
  const skipped = [...groupBy(misses, ({ reason }) => reason)].slice(0, maxNames).map(([reason, members]) => {
    const names = [...new Set(members.flatMap(({ at }) => at ?? []))];
    if (names.length === 0) return clip(reason);
    return html`${clip(reason)} <span class="note">${counted(names.length, "place")}</span><br>${namesText(names)}`;
  });
  const rejectedItems = variants.map(({ name, rejected = "" }) => html`<strong>${name}</strong>: ${clip(rejected)}`);
  const sections = [
    ["Rejected variants", rejectedItems],
    ["Skipped layers", skipped],
  ] as const;
  return html`${sections.map(([title, items]) => items.length > 0 && html`<h2>${title}</h2>\n${reasonsList(items)}\n`)}`;
}

function reasonsList(items: readonly Content[]): Markup {
  return html`<ul class="reasons">${items.map((item) => html`<li>${item}</li>\n`)}</ul>`;
}

export function circumstances(run: Run): Markup {
  const { machine, data, latency } = run;
  const versions = Object.entries({ pith: run.version, ...machine?.versions }).map((entry) => entry.join(" "));
  const samplesText = (part: string, split: Samples | undefined): string => {
    const { count, fitted = count } = split ?? {};
    return split === undefined ? "" : `${part} ${fitted === undefined ? "a stream" : integer(fitted)}`;
  };
  const { test, validation } = data;
  const parts = [
    samplesText("training", data.train),
    samplesText("calibration", data.calibrate),
    validation === undefined ? "" : `validation ${integer(validation)}`,
    samplesText("test", { ...test, count: test.count === undefined ? undefined : test.count - (validation ?? 0) }),
  ];
  const targets = chosenOf(run)?.targets;
  const busyNote = latency?.unsteady === true ? "; the machine was too busy for reliable timing" : "";
  const estimateNote = isEstimated(run) ? "; estimated for large files" : "";
  const facts: readonly (readonly [title: string, text: Content])[] = [
    ["data", `${data.name}; samples: ${parts.filter((part) => part !== "").join(", ")}`],
    ["preprocessing", data.preprocessing],
    ["chance", data.chance && `${percent(data.chance)}, the score of always predicting the most frequent class`],
    [validation === undefined ? "test samples" : "validation and test samples", hashText(data.test.sha256)],
    ["original", html`<span class="name">${run.original.name}, sha256 ${run.original.sha256}</span>`],
    ["timing", latency && `${timingText(latency)}; median and 10th to 90th percentile${busyNote}`],
    [
      "runtimes",
      targets &&
        targetLines(targets)
          .map((line) => line.trim())
          .join("; "),
    ],
    [
      "machine",
      machine && `${machine.cpu}, ${integer(machine.threads)} threads, ${bytes(machine.memory)}, ${machine.platform}`,
    ],
    [
      "compressed",
      run.original.brotli !== undefined &&
        `gzip at level 9, brotli at quality 11, as static files are compressed once${estimateNote}`,
    ],
    ["versions", versions.join(", ")],
    ["seed", String(run.seed)],
    ["date", `${run.date}, ${integer(run.seconds)} s`],
  ];
  return html`<h2>Setup</h2>
<dl class="facts">
${facts.map(([title, text]) => text !== undefined && text !== false && html`<dt>${title}</dt><dd>${text}</dd>\n`)}</dl>
${run.command !== undefined && html`<pre>${run.command.map(quoteWord).join(" ")}</pre>`}
${run.chosen !== undefined && nextSection(run)}`;
}

const isEstimated = ({ original, variants }: Run): boolean =>
  [original, ...variants.map(({ result }) => result)].some((measured) => measured?.sampled === true);

const hashText = (sha256: string | undefined): Content =>
  sha256 !== undefined && html`<span class="name">sha256 ${sha256}</span>`;

function nextSection(run: Run): Markup {
  const [before, after] = filesOf(run);
  const evaluate = `pith eval ${quoteWord(after)} --original ${quoteWord(before)} --data other-samples/${targetFlag(run.targets ?? [])}`;
  return html`<h2>Next</h2>
<p class="note">Time both models on the machine that will run them, and evaluate them on other samples:</p>
<pre>${[benchCommand([before, after], run.targets), evaluate].map((line) => `npx --no-install ${line}`).join("\n")}</pre>`;
}

function optionsText({ options }: StepRecord): string {
  const parts = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${typeof value === "string" ? value : JSON.stringify(value)}`],
  );
  return clip(parts.join(", "));
}

function lossText({ history }: StepRecord): string {
  const [first, last] = [history?.[0], history?.at(-1)];
  if (first === undefined || last === undefined) return "";
  return `loss ${first.loss.toPrecision(3)} → ${last.loss.toPrecision(3)} in ${counted(history?.length ?? 0, "epoch")}`;
}

/** Returns the changes of a step as a list. Layers with equal changes are grouped. A group names an override for its operator or layer. */
function changesOf({ changes }: StepRecord): Content {
  if (changes.length === 0) return html`<p class="note">No changes.</p>`;
  const toItem = ([text, places]: readonly [string, readonly Change[]]): Markup =>
    html`${clip(text)} <span class="note">${places.length > 1 && `${integer(places.length)} places`}</span><br>${namesText(places.map(({ at }) => at))}`;
  const all = [...groupBy(changes, changeText)];
  return html`${reasonsList(all.slice(0, maxChanges).map(toItem))}
${all.length > maxChanges && html`<p class="note">and ${integer(all.length - maxChanges)} more kinds of change; run.json has each.</p>`}`;
}

function namesText(names: readonly string[]): Content {
  const shown = names.slice(0, maxNames);
  const list = shown.map((name, index) => [index > 0 && ", ", html`<span class="name">${clip(name)}</span>`]);
  const hiddenCount = names.length - shown.length;
  return [list, hiddenCount > 0 && ` and ${integer(hiddenCount)} more`];
}

function clip(text: string): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}
