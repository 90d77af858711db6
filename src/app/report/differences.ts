import { counted, integer, minus } from "../../core/numbers.ts";
import type { Disagreement, LayerNoise, Run, RunData, SampleView, Variant } from "../../judge/record/data.ts";
import { type Content, html, type Markup } from "./markup.ts";

const maxLayers = 10;
const maxReasons = 5;
/** Signal to noise in decibels at which a bar is empty: noise is a thousandth of the signal. */
const emptyBar = 60;

export function disagreementsSection(run: Run): Markup | undefined {
  const { disagreements, data } = run;
  if (disagreements.length === 0) return undefined;
  const variant = examinedOf(run);
  const agreement = variant?.agreement;
  const differ = `on which original and ${resultText(run)} differ`;
  const all = agreement === undefined ? undefined : Math.round((1 - agreement.value) * agreement.count);
  const shown = integer(disagreements.length);
  const which =
    all !== undefined && all > disagreements.length
      ? `${shown} of the ${integer(all)} samples ${differ}, spread over them`
      : `${shown} ${disagreements.length === 1 ? "sample" : "samples"} ${differ}`;
  return html`<h2>Samples with different predictions</h2>
<p class="note">${which}, numbered by position in the test samples.</p>
<ul class="samples">
${disagreements.map((one) => html`<li>${one.shown !== undefined && view(one.shown)}${answers(one, data.classes)}</li>\n`)}</ul>`;
}

function examinedOf({ variants, chosen, examined = chosen }: Run): Variant | undefined {
  return variants[examined ?? -1];
}

function resultText(run: Run): string {
  return run.chosen === undefined ? (examinedOf(run)?.name ?? "result") : "result";
}

function answers({ sample, label, original, variant }: Disagreement, names: RunData["classes"]): Markup {
  const called = (value: number): string => names?.[value] ?? `class ${value}`;
  const answer = (value: number): Markup => {
    if (value < 0) return html`<b>nothing</b>`;
    return html`<b class="${label === undefined ? "" : value === label ? "good" : "bad"}">${called(value)}</b>`;
  };
  return html`<p class="note">sample ${integer(sample)}${label !== undefined && html`, label <b>${called(label)}</b>`}</p>
<p>original: ${answer(original)}, result: ${answer(variant)}</p>`;
}

function view(shown: SampleView): Content {
  switch (shown.kind) {
    case "image":
      // Other addresses would load external content.
      return (
        /^data:image\/png;base64,[\w+/=]+$/.test(shown.address) &&
        html`<img alt="" width="${shown.width}" height="${shown.height}" src="${shown.address}">`
      );
    case "text":
      return html`<blockquote>${shown.text}</blockquote>`;
    case "numbers":
      return shown.inputs.map(({ name, numbers, count }) => {
        const more = count > numbers.length ? `, … ${integer(count)} in all` : "";
        return html`<p class="numbers">${name}: ${numbers.join(", ")}${more}</p>`;
      });
  }
}

/** The layers with the lowest signal to noise, and why others were not compared. */
export function noiseSection(run: Run): Markup | undefined {
  const { noise } = run;
  if (noise === undefined || (noise.layers.length === 0 && noise.misses.length === 0)) return undefined;
  const changed = noise.layers.filter(({ signalToNoise }) => signalToNoise !== undefined);
  const loudest = changed.toSorted((a, b) => decibels(a) - decibels(b)).slice(0, maxLayers);
  const same = noise.layers.length - changed.length;
  return html`<h2>Layers changed most</h2>
<p class="note">Signal to noise at the output of each layer, ${resultText(run)} compared with the original, on ${integer(noise.samples)} test samples. Errors propagate: the first layer with a low ratio is the most likely cause.${same > 0 && ` ${counted(same, "layer")} ${same === 1 ? "is" : "are"} exactly equal.`}</p>
${loudest.length > 0 && noiseTable(loudest, noise.layers)}
${missesList(noise.misses)}`;
}

function noiseTable(loudest: readonly LayerNoise[], all: readonly LayerNoise[]): Markup {
  const row = (one: LayerNoise): Markup => {
    const loudness = 100 * Math.min(1, Math.max(0, 1 - decibels(one) / emptyBar));
    return html`<tr><td class="n">${integer(all.indexOf(one) + 1)}</td><td class="text"><span class="name">${one.layer}</span></td><td class="n">${minus(decibels(one).toFixed(1))} dB<span class="bar"><i style="width:${loudness.toFixed(1)}%"></i></span></td><td class="n">${minus(one.cosine.toFixed(4))}</td><td class="n">${one.maxError.toPrecision(3)}</td></tr>`;
  };
  return html`<div class="wide"><table>
<thead><tr><th class="n">position</th><th>layer</th><th class="n">signal to noise</th><th class="n">cosine</th><th class="n">largest error</th></tr></thead>
<tbody>
${loudest.map(row)}
</tbody></table></div>`;
}

function missesList(misses: readonly { readonly at: string | undefined; readonly reason: string }[]): Content {
  const places = new Map<string, number>();
  for (const { reason } of misses) places.set(reason, (places.get(reason) ?? 0) + 1);
  const reasons = [...places].slice(0, maxReasons).map(([reason, count]) => `${reason} (${integer(count)})`);
  return reasons.length > 0 && html`<p class="note">Not compared: ${reasons.join("; ")}.</p>`;
}

function decibels({ signalToNoise }: LayerNoise): number {
  return signalToNoise ?? Number.POSITIVE_INFINITY;
}
