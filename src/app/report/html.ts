/** Writes `report.html`, a self-contained file: gain and verdict, then the measurements, then everything that is needed to repeat the run. */

import type { Estimate } from "../../core/estimate.ts";
import { confidenceText, counted, integer, minus } from "../../core/numbers.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import type { Disagreement, LayerNoise, Run, RunData, SampleView, Variant } from "../../judge/record/data.ts";
import { comparesWithOriginal, gainSentence, outcomeOf } from "../../judge/record/verdict.ts";
import { chart, chartWidths } from "./chart.ts";
import { verdictSentences } from "./choice.ts";
import { type Content, html, type Markup, page, withFlags } from "./markup.ts";
import { searchSection } from "./search.ts";
import { circumstances, doneSection, keyFigures, rejectedSection } from "./sections.ts";
import { reportStyle } from "./style.ts";
import { numberCell, numberHead, textHead, variantsTable, wideTable } from "./tables.ts";

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
<p class="lead"><span class="badge ${mood}">${word}</span> ${withFlags(verdictSentences(run).join(" "))}</p>
${run.warnings.map((warning) => html`<p class="doubt">${withFlags(warning)}</p>`)}
${keyFigures(run)}
</header>
<figure>${chart(run, chartWidths.wide)}${chart(run, chartWidths.narrow)}
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
  return page({ title: `${run.original.name}: ${gainSentence(run)}`, style: reportStyle, body });
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
/** Signal-to-noise ratio in decibels at which a bar is empty: the noise has a thousandth of the signal's amplitude. */
const emptyBar = 60;

/**
 * Returns HTML of samples whose predictions changed, as in the report; undefined without such samples. Its classes are styled by the page.
 * @example const list = drawDisagreements(run);
 */
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
${disagreements.map((sample) => html`<li>${sample.shown && view(sample.shown)}${predictions(sample, data.classes)}</li>\n`)}</ul>`;
}

function comparedVariant({ variants, chosen, examined = chosen }: Run): Variant | undefined {
  return variants[examined ?? -1];
}

function resultText(run: Run): string {
  return run.chosen === undefined ? (comparedVariant(run)?.name ?? "result") : "result";
}

function predictions({ sample, label, original, variant }: Disagreement, names: RunData["classes"]): Markup {
  const className = (value: number): string => names?.[value] ?? `class ${value}`;
  const prediction = (value: number): Markup => {
    if (value < 0) return html`<b>nothing</b>`;
    if (label === undefined) return html`<b>${className(value)}</b>`;
    return html`<b class="${value === label ? "good" : "bad"}">${className(value)} ${value === label ? "✓" : "✗"}</b>`;
  };
  return html`<p class="note">sample ${integer(sample)}${label !== undefined && html`, label <b>${className(label)}</b>`}</p>
<p>original: ${prediction(original)}<br>result: ${prediction(variant)}</p>`;
}

/**
 * Returns HTML of a sample, as in the report. Its classes are styled by the page.
 * @example
 * const [sample] = await viewsOf([0], calibration, calibration);
 * const image = sample === undefined ? "" : drawSample(sample);
 */
export const drawSample = (sample: SampleView): string => html`${view(sample)}`.markup;

function view(sampleView: SampleView): Content {
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

/** Returns the layers with the lowest signal-to-noise ratio, and the reasons why other layers were not compared. */
export function noiseSection(run: Run): Markup | undefined {
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
    const bar = html`${minus(decibels(noise).toFixed(1))} dB<span class="bar"><i style="width:${loudness.toFixed(1)}%"></i></span>`;
    return html`<tr>${numberCell(integer(all.indexOf(noise) + 1))}<td class="text"><span class="name">${noise.layer}</span></td>${[bar, minus(noise.cosine.toFixed(4)), noise.maxError.toPrecision(3)].map((text) => numberCell(text))}</tr>`;
  };
  const titles = ["signal to noise", "cosine", "largest error"].map(numberHead);
  return wideTable([numberHead("position"), textHead("layer"), titles], loudest.map(row));
}

function skippedText(misses: readonly { readonly reason: string }[]): Content {
  const reasons = [...groupBy(misses, ({ reason }) => reason)].slice(0, maxReasons);
  const texts = reasons.map(([reason, { length }]) => `${reason} (${integer(length)})`);
  return texts.length > 0 && html`<p class="note">Not compared: ${texts.join("; ")}.</p>`;
}

function decibels({ signalToNoise }: LayerNoise): number {
  return signalToNoise ?? Number.POSITIVE_INFINITY;
}
