/** Writes `report.html`, a self-contained file. */
import {
  bytes,
  confidenceText,
  count,
  counted,
  type Estimate,
  figureInterval,
  figureText,
  groupBy,
  integer,
  percent,
  runTime,
  times,
  withMinusSign,
} from "#ir";
import { type Change, changeText } from "#pass";
import type {
  Disagreement,
  LayerNoise,
  Run,
  RunData,
  Samples,
  SampleView,
  StepRecord,
  Variant,
} from "../../judge/record/run-record.ts";
import { benchCommand, filesOf, quoteWord, targetFlag } from "../../judge/record/shell-command.ts";
import {
  brotliTitle,
  chosenOf,
  comparesWithOriginal,
  gainSentence,
  outcomeOf,
  steadyTimingOf,
  targetLines,
  timingText,
} from "../../judge/record/verdict.ts";
import { verdictSentences } from "./choice.ts";
import { type Content, html, keepTermsWhole, type Markup, pageMarkup } from "./markup.ts";
import { searchSection } from "./search-table.ts";
import { chartWidths, drawRunChart } from "./size-chart.ts";
import { reportStyle } from "./style.ts";
import { numberCell, numberHead, textHead, variantsTable, wideTable } from "./tables.ts";
import { trainingChart } from "./training-chart.ts";

/**
 * Returns a run as one HTML page without external resources. All text from a model file is escaped.
 * @example await writeFile("report.html", reportPage(run));
 */
export function reportPage(run: Run): string {
  const { word, mood } = outcomeOf(run);
  const body = html`<main>
<header>
<div class="eyebrow">Compression of <span class="name">${run.original.name}</span></div>
<h1>${gainSentence(run)}</h1>
<p class="lead"><span class="badge ${mood}">${word}</span> ${keepTermsWhole(verdictSentences(run).join(" "))}</p>
${run.warnings.map((warning) => html`<p class="doubt">${keepTermsWhole(warning)}</p>`)}
${keyFigures(run)}
</header>
<figure>${drawRunChart(run, chartWidths.wide)}${drawRunChart(run, chartWidths.narrow)}
<figcaption>${caption(run)}</figcaption></figure>
<h2>Variants</h2>
${variantsTable(run)}
${searchSection(run)}
${disagreementsSection(run)}
${noiseSection(run)}
${rejectedSection(run)}
${circumstances(run)}
${doneSection(run)}
<footer>Made by pith ${run.version}. All values were measured on the files that ship.</footer>
</main>`;
  return pageMarkup({ title: `${run.original.name}: ${gainSentence(run)}`, style: reportStyle, body });
}

function caption(run: Run): string {
  const { metric, goal, search } = run;
  const [first] = run.variants.flatMap(({ comparison }) => comparison ?? []);
  const level = (estimate: Pick<Estimate, "confidence">): string => confidenceText(estimate);
  const originalText = comparesWithOriginal(run) ? " The original agrees with itself by definition." : "";
  const sentences = [
    `Each point is a model of the table below. Thin line: ${level(run.original.estimate)} confidence interval of its ${metric.name}.${originalText}`,
    first &&
      `Thick line: ${level(first.difference)} confidence interval of its difference from the original, sample by sample.`,
    first &&
      goal &&
      `A thick line that is entirely ${metric.better === "higher" ? "above" : "below"} the dashed one shows that the goal is met.`,
    search &&
      "Small points: candidates of the search; dark ones are on the Pareto front of bytes, change and speed. Each links to its recipe.",
  ];
  return sentences.filter((sentence) => sentence !== undefined).join(" ");
}

const maxLayers = 10;
const maxReasons = 5;
/** Signal-to-noise ratio in decibels at which a bar is empty. */
const emptyBar = 60;

/** Returns HTML of samples whose predictions changed, styled by the page. */
export const drawDisagreements = (run: Run): string | undefined => disagreementsSection(run)?.markup;

function disagreementsSection(run: Run): Markup | undefined {
  const { disagreements, data } = run;
  if (disagreements.length === 0) return undefined;
  const { agreement } = comparedVariant(run) ?? {};
  const differText = `on which original and ${resultText(run)} differ`;
  const differCount = agreement === undefined ? 0 : Math.round((1 - agreement.value) * agreement.count);
  const shownCount = disagreements.length;
  const samples =
    differCount > shownCount
      ? `${integer(shownCount)} of the ${integer(differCount)} samples ${differText}, spread over them`
      : `${counted(shownCount, "sample")} ${differText}`;
  return html`<h2>Samples with different predictions</h2>
<p class="note">${samples}, numbered by position in the test samples.</p>
<ul class="samples">
${disagreements.map((sample) => html`<li>${sample.shown && sampleMarkup(sample.shown)}${predictions(sample, data.classes)}</li>\n`)}</ul>`;
}

function comparedVariant({ variants, chosen, examined = chosen }: Run): Variant | undefined {
  return variants[examined ?? -1];
}

function resultText(run: Run): string {
  return run.chosen === undefined ? (comparedVariant(run)?.name ?? "result") : "result";
}

function predictions({ sample, label, original, variant }: Disagreement, names: RunData["classes"]): Markup {
  const className = (value: number): string => names?.[value] ?? `class\u00a0${value}`;
  const prediction = (value: number): Markup => {
    if (value < 0) return html`<b>nothing</b>`;
    if (label === undefined) return html`<b>${className(value)}</b>`;
    return html`<b class="${value === label ? "good" : "bad"}">${className(value)} ${value === label ? "✓" : "✗"}</b>`;
  };
  return html`<p class="note">sample ${integer(sample)}${label !== undefined && html`, label <b>${className(label)}</b>`}</p>
<p>original: ${prediction(original)}<br>result: ${prediction(variant)}</p>`;
}

/** Returns HTML of a sample, styled by the page. */
export const drawSample = (sample: SampleView): string => html`${sampleMarkup(sample)}`.markup;

function sampleMarkup(sampleView: SampleView): Content {
  switch (sampleView.kind) {
    case "image":
      // Any other address would load external content.
      return (
        /^data:image\/png;base64,[\w+/=]+$/.test(sampleView.address) &&
        html`<img alt="" width="${sampleView.width}" height="${sampleView.height}" src="${sampleView.address}">`
      );
    case "text":
      return html`<blockquote>${sampleView.text}</blockquote>`;
    case "series": {
      const { name, path, width, height, count } = sampleView;
      return html`<svg class="series" viewBox="0 -1 ${width} ${height + 2}" width="${width}" height="${height}"><path d="${path}"/></svg><p class="numbers">${name}: ${integer(count)} values</p>`;
    }
    case "numbers":
      return sampleView.inputs.map(({ name, numbers, count }) => {
        const countText = count > numbers.length ? `, … ${integer(count)} in all` : "";
        return html`<p class="numbers">${name}: ${numbers.join(", ")}${countText}</p>`;
      });
  }
}

/** Returns the layers with the lowest signal-to-noise ratio, and the reasons why others were not compared. */
function noiseSection(run: Run): Markup | undefined {
  const { noise } = run;
  if (noise === undefined || (noise.layers.length === 0 && noise.misses.length === 0)) return undefined;
  const changedLayers = noise.layers.filter(({ signalToNoise }) => signalToNoise !== undefined);
  const noisiestLayers = changedLayers.toSorted((a, b) => decibels(a) - decibels(b)).slice(0, maxLayers);
  const equalCount = noise.layers.length - changedLayers.length;
  return html`<h2>Layers changed most</h2>
<p class="note">Signal to noise at the output of each layer, ${resultText(run)} compared with the original, on ${integer(noise.samples)} test samples. Errors propagate: the first layer with a low ratio is the most likely cause.${equalCount > 0 && ` ${counted(equalCount, "layer")} ${equalCount === 1 ? "is" : "are"} exactly equal.`}</p>
${noisiestLayers.length > 0 && noiseTable(noisiestLayers, noise.layers)}
${skippedText(noise.misses)}`;
}

function noiseTable(loudest: readonly LayerNoise[], all: readonly LayerNoise[]): Markup {
  const row = (noise: LayerNoise): Markup => {
    const loudness = 100 * Math.min(1, Math.max(0, 1 - decibels(noise) / emptyBar));
    const bar = html`${withMinusSign(decibels(noise).toFixed(1))} dB<span class="bar"><i style="width:${loudness.toFixed(1)}%"></i></span>`;
    return html`<tr>${numberCell(integer(all.indexOf(noise) + 1))}<td class="text"><span class="name">${noise.layer}</span></td>${numberCell(bar)}</tr>`;
  };
  return wideTable([numberHead("position"), textHead("layer"), numberHead("signal to noise")], loudest.map(row));
}

function skippedText(misses: readonly { readonly reason: string }[]): Content {
  const reasons = [...groupBy(misses, ({ reason }) => reason)].slice(0, maxReasons);
  const texts = reasons.map(([reason, { length }]) => `${reason} (${integer(length)})`);
  return texts.length > 0 && html`<p class="note">Not compared: ${texts.join("; ")}.</p>`;
}

function decibels({ signalToNoise }: LayerNoise): number {
  return signalToNoise ?? Number.POSITIVE_INFINITY;
}

const maxNames = 40;
const maxLength = 300;
const maxChanges = 12;

function keyFigures(run: Run): Markup {
  const chosenVariant = chosenOf(run);
  const { original, metric } = run;
  const result = chosenVariant?.result;
  const renderFigure = (title: string, text: Content, note?: string): Markup =>
    html`<div><dt>${title}</dt><dd>${text}${note !== undefined && html`<small>${keepTermsWhole(note)}</small>`}</dd></div>`;
  const fromTo = (before: number | undefined, after: number | undefined, text: (value: number) => string): Content => {
    if (before === undefined) return "–";
    if (after === undefined) return text(before);
    if (text(after) === text(before)) return html`${text(after)}<small>unchanged</small>`;
    return html`${text(after)}<small>${keepTermsWhole(`from ${text(before)}${after > 0 ? `, ${times(before / after)}` : ""}`)}</small>`;
  };
  const estimate = result?.estimate ?? original.estimate;
  const hasInterval = result !== undefined || !comparesWithOriginal(run);
  const speed = run.chosen === undefined ? undefined : steadyTimingOf(run)?.models[run.chosen + 1];
  return html`<dl class="figures">
${renderFigure("bytes", fromTo(original.bytes, result?.bytes, bytes))}
${original.gzip !== undefined && renderFigure("compressed (gzip)", fromTo(original.gzip, result?.gzip, bytes))}
${original.brotli !== undefined && renderFigure(`compressed (${brotliTitle(original, result)})`, fromTo(original.brotli, result?.brotli, bytes))}
${renderFigure(metric.name, figureText(metric.unit, estimate.value), hasInterval ? `${confidenceText(estimate)} interval ${figureInterval(metric.unit, estimate)}` : undefined)}
${speed !== undefined && renderFigure("speed", times(speed.speedup.median), `${runTime(speed.milliseconds.median)} per run`)}
${original.macs !== undefined && renderFigure("MACs", fromTo(original.macs, result?.macs, count))}
</dl>`;
}

function doneSection(run: Run): Markup | undefined {
  const chosenVariant = chosenOf(run);
  if (chosenVariant === undefined || chosenVariant.steps.length === 0) return undefined;
  return html`<h2>Steps</h2>
${chosenVariant.steps.map(
  (step) => html`<h3>${step.name}</h3>
<p class="note">${[optionsText(step), lossText(step), `${step.seconds.toFixed(1)} s`].filter((text) => text !== "").join(" · ")}</p>
${trainingChart(step)}${changesOf(step)}`,
)}`;
}

function rejectedSection(run: Run): Markup | undefined {
  const variants = run.variants.filter(({ rejected }) => rejected !== undefined);
  const misses = run.variants.flatMap(({ steps }) =>
    steps.flatMap((step) => step.misses.map(({ at, reason }) => ({ at, reason: `${step.id}: ${reason}` }))),
  );
  const skippedRows = [...groupBy(misses, ({ reason }) => reason)].slice(0, maxNames).map(([reason, members]) => {
    const names = [...new Set(members.flatMap(({ at }) => at ?? []))];
    if (names.length === 0) return clip(reason);
    return html`${clip(reason)} <span class="note">${counted(names.length, "place")}</span><br>${namesText(names)}`;
  });
  const rejectedItems = variants.map(({ name, rejected = "" }) => html`<strong>${name}</strong>: ${clip(rejected)}`);
  const sections = [
    ["Rejected candidates", rejectedItems],
    ["Skipped layers", skippedRows],
  ] as const;
  return html`${sections.map(([title, items]) => items.length > 0 && html`<h2>${title}</h2>\n${reasonsList(items)}\n`)}`;
}

function reasonsList(items: readonly Content[]): Markup {
  return html`<ul class="reasons">${items.map((item) => html`<li>${item}</li>\n`)}</ul>`;
}

function circumstances(run: Run): Markup {
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

/** Returns the changes of a step as a list. Layers with equal changes are grouped. */
function changesOf({ changes }: StepRecord): Content {
  if (changes.length === 0) return html`<p class="note">No changes.</p>`;
  const toItem = ([text, places]: readonly [string, readonly Change[]]): Markup =>
    html`${keepTermsWhole(clip(text))} <span class="note">${places.length > 1 && `${integer(places.length)} places`}</span><br>${namesText(places.map(({ at }) => at))}`;
  const all = [...groupBy(changes, changeText)];
  return html`${reasonsList(all.slice(0, maxChanges).map(toItem))}
${all.length > maxChanges && html`<p class="note">and ${integer(all.length - maxChanges)} more kinds of change; run.json has each.</p>`}`;
}

function namesText(names: readonly string[]): Content {
  const shownNames = names.slice(0, maxNames);
  const list = shownNames.map((name, index) => [index > 0 && ", ", html`<span class="name">${clip(name)}</span>`]);
  const hiddenCount = names.length - shownNames.length;
  return [list, hiddenCount > 0 && ` and ${integer(hiddenCount)} more`];
}

function clip(text: string): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}
