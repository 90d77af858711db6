import { integer, minus, percent } from "../../core/numbers.ts";
import type { Blame, LayerError } from "../../runtime/noise/layer-errors.ts";
import { blameText, isSpread } from "../../runtime/noise/layer-errors.ts";
import { html, type Markup } from "./markup.ts";
import { page } from "./page.ts";
import { linear, ticks } from "./scale.ts";
import { reportStyle } from "./style.ts";

export interface DebuggedLayer extends LayerError {
  /** Decibels of the stored weight; undefined if there is none, or it cannot be read. */
  readonly weight: number | undefined;
}

export interface Debugged {
  readonly original: string;
  readonly model: string;
  readonly on: string;
  readonly layers: readonly DebuggedLayer[];
  readonly blamed: Blame | undefined;
}

/** 23.1 dB, equal; a dash if unknown. */
export function decibelsText(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value === Number.POSITIVE_INFINITY) return "equal";
  return Number.isFinite(value) ? `${minus(value.toFixed(1))} dB` : "not finite";
}

/** `linear`; `linear and 19 before` if earlier layers cannot be compared individually. */
export function placeName({ layer, hidden }: Pick<DebuggedLayer, "layer" | "hidden">): string {
  return hidden.length === 0 ? layer : `${layer} and ${integer(hidden.length)} before`;
}

export function togetherNote(layers: readonly Pick<DebuggedLayer, "hidden">[]): string {
  return layers.some(({ hidden }) => hidden.length > 0)
    ? "“and … before”: those layers cannot be compared individually; the values are for all of them jointly."
    : "";
}

export function shareText(share: number | undefined): string {
  if (share === undefined) return "–";
  return Number.isFinite(share) ? percent(Math.min(1, share)) : "not finite";
}

export function debugPage({ original, model, on, layers, blamed }: Debugged): string {
  const head = blamed === undefined ? "No layer differs" : blameText(blamed);
  const first = blamed === undefined || isSpread(blamed) ? undefined : blamed.layers[0];
  const row = (one: DebuggedLayer, index: number): Markup =>
    html`<tr class="${one.layer === first ? "chosen" : ""}"><td class="n">${index + 1}</td><td class="text"><span class="name">${placeName(one)}</span></td><td>${one.operator}</td>${[one.weight, one.own, one.signalToNoise].map((value) => html`<td class="n">${decibelsText(value)}</td>`)}<td class="n">${shareText(one.share)}</td></tr>\n`;
  const body = html`<main>
<header><div class="eyebrow"><span class="name">${model}</span> against <span class="name">${original}</span>, on ${on}</div>
<h1>${head}</h1></header>
<figure>${picture(layers, first)}
<figcaption>Signal to noise of each layer, in the order of the graph. 20 dB more: a tenth of the error. Line (cumulative): of the layer's output, with the errors of all layers before it. Bars (isolated): of the layer's output, with the inputs of the original. Rings: of its stored weight.</figcaption></figure>
<h2>Layers</h2>
<div class="wide"><table>
<thead><tr><th class="n">place</th><th>layer</th><th>operator</th><th class="n">weight</th><th class="n">isolated</th><th class="n">cumulative</th><th class="n">share of error</th></tr></thead>
<tbody>${layers.map(row)}</tbody></table></div>
<p class="note">Share of error: of the squared error of the model's outputs, what is left where this layer alone is changed. Shares of independent errors add up to about 100 %. ${togetherNote(layers)}</p>
</main>`;
  return page({ title: `${model}: ${head}`, style: `${reportStyle}${style}`, body });
}

const style = `
.layers .own { fill: var(--accent); fill-opacity: .35; } .layers .blamed { fill: var(--bad); fill-opacity: .8; }
.layers polyline { fill: none; stroke: var(--ink); stroke-width: 1.5; } .layers circle { fill: none; stroke: var(--soft); }
`;

const [height, margin] = [320, { top: 16, right: 20, bottom: 30, left: 56 }];
const [leastWidth, step] = [980, 9];
/** Decibels drawn for equal layers. */
const most = 100;

function picture(layers: readonly DebuggedLayer[], first: string | undefined): Markup {
  const width = Math.max(leastWidth, margin.left + margin.right + step * layers.length);
  const bottom = height - margin.bottom;
  const shown = (value: number): number => (Number.isNaN(value) ? 0 : Math.min(most, value));
  const all = layers.flatMap(({ own = most, signalToNoise, weight = most }) => [own, signalToNoise, weight].map(shown));
  const low = Math.min(0, ...all.map((value) => Math.max(-20, value)));
  const high = Math.max(10, ...all.filter((value) => value < most)) + 5;
  const y = linear(low, high, bottom, margin.top);
  const x = linear(-0.5, layers.length - 0.5, margin.left, width - margin.right);
  const place = (value: number): string => y(Math.min(high, Math.max(low, shown(value)))).toFixed(1);
  const wide = Math.max(1.5, 0.6 * (x(1) - x(0)));
  const title = (one: DebuggedLayer): Markup =>
    html`<title>${placeName(one)} (${one.operator}): weight ${decibelsText(one.weight)}, isolated ${decibelsText(one.own)}, cumulative ${decibelsText(one.signalToNoise)}</title>`;
  return html`<svg class="chart layers" viewBox="0 0 ${width} ${height}" role="img" aria-label="Signal to noise of each layer in decibels">
<g class="grid">${ticks(low, high, 6).map((tick) => html`<line x1="${margin.left}" x2="${width - margin.right}" y1="${place(tick)}" y2="${place(tick)}"/>`)}</g>
<g class="tick">${ticks(low, high, 6).map((tick) => html`<text x="${margin.left - 8}" y="${(Number(place(tick)) + 4).toFixed(1)}" text-anchor="end">${minus(String(tick))} dB</text>`)}</g>
${layers.map((one, index) => html`<rect class="${one.layer === first ? "blamed" : "own"}" x="${(x(index) - wide / 2).toFixed(1)}" width="${wide.toFixed(1)}" y="${place(one.own ?? one.signalToNoise)}" height="${Math.max(0, bottom - Number(place(one.own ?? one.signalToNoise))).toFixed(1)}">${title(one)}</rect>`)}
<polyline points="${layers.map(({ signalToNoise }, index) => `${x(index).toFixed(1)},${place(signalToNoise)}`).join(" ")}"/>
${layers.map(({ weight }, index) => weight !== undefined && html`<circle cx="${x(index).toFixed(1)}" cy="${place(weight)}" r="3"/>`)}
<g class="axis"><text x="${width - margin.right}" y="${height - 8}" text-anchor="end">layers, from inputs to outputs →</text></g>
</svg>`;
}
