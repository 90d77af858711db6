/** Builds the page and the texts of `pith debug`. */
import { capitalize, integer, percent, withMinusSign } from "#ir";
import type { LayerRow, LayerTable } from "../../judge/fallback/layer-table.ts";
import { decibelsLegend } from "../../judge/record/verdict.ts";
import { blameText, isSpread } from "../../runtime/noise/layer-errors.ts";
import { drawGrid, labelMarkup, linearScale, plotAreaOf, px, verticalAxis } from "./axes.ts";
import { html, type Markup, pageMarkup } from "./markup.ts";
import { reportStyle } from "./style.ts";
import { numberCell, numberHead, textHead, wideTable } from "./tables.ts";

interface LayersDrawing extends Pick<LayerTable, "blamed"> {
  readonly layers: readonly LayerRow[];
}

export interface DebugPageContent extends LayersDrawing {
  readonly original: string;
  readonly model: string;
  readonly on: string;
}

export const errorTitles = ["alone", "with all before", "share of error"];
export const layersLegend = [
  decibelsLegend,
  "alone: signal to noise of the layer's output if only this layer is changed (an operator without weights: if its output is rounded)",
  "with all before: the same if all layers before it are changed, too",
  "share of error: error of the model's outputs if only this layer is changed, relative to the error with all changes (the shares need not add up to 100 %)",
];

/** Returns the cells below `errorTitles`: "23.1 dB", "equal" or a dash, and "12.3 %". */
export function errorCells({ own, signalToNoise, share, estimate }: LayerRow): readonly string[] {
  const finite = (value: number | undefined, text: (value: number) => string): string =>
    value === undefined ? "–" : Number.isFinite(value) ? text(value) : "not finite";
  const decibels = [own, signalToNoise].map((value) =>
    value === Number.POSITIVE_INFINITY ? "equal" : finite(value, (ratio) => `${withMinusSign(ratio.toFixed(1))} dB`),
  );
  const about = (value: number): string => (value === 0 ? "–" : `about ${percent(Math.min(1, value), 0)}`);
  return [...decibels, share === undefined ? finite(estimate, about) : finite(Math.min(1, share), percent)];
}

/** Returns `linearScale`, or `linear and 19 before` if earlier layers cannot be compared individually. */
export const placeName = ({ layer, hidden }: LayerRow): string =>
  hidden.length === 0 ? layer : `${layer} and ${integer(hidden.length)} before`;

export const togetherNote = (layers: readonly LayerRow[]): string =>
  layers.some(({ hidden }) => hidden.length > 0)
    ? "“and … before”: those layers cannot be compared individually; the values are for all of them jointly."
    : "";

export function debugPage({ original, model, on, layers, blamed }: DebugPageContent): string {
  const headline = blamed === undefined ? "No layer differs" : blameText(blamed);
  const body = html`<main>
<header><div class="eyebrow"><span class="name">${model}</span> against <span class="name">${original}</span>, on ${on}</div>
<h1>${headline}</h1></header>
<figure>${layersChart({ layers, blamed }, Math.max(minWidth, margin.left + margin.right + widthPerLayer * layers.length))}
<figcaption>The layers are in the order of the graph. Bars: alone. Line: with all before.</figcaption></figure>
<h2>Layers</h2>
${layersTable({ layers, blamed })}
<p class="note">${layersLegend.map((line) => `${capitalize(line)}. `)}${togetherNote(layers)}</p>
</main>`;
  return pageMarkup({ title: `${model}: ${headline}`, style: reportStyle, body });
}

function layersTable({ layers, blamed }: LayersDrawing): Markup {
  const first = dominantLayer(blamed);
  const row = (layer: LayerRow, index: number): Markup =>
    html`<tr class="${layer.layer === first ? "chosen" : ""}">${numberCell(index + 1, undefined, "place")}<td class="text"><span class="name">${placeName(layer)}</span></td><td>${layer.operator}</td>${errorCells(layer).map((cell, column) => numberCell(cell, undefined, errorTitles[column]))}</tr>\n`;
  return wideTable(
    [numberHead("place"), textHead("layer"), textHead("operator"), errorTitles.map(numberHead)],
    layers.map(row),
  );
}
export const drawLayerTable = (errors: LayersDrawing): string => layersTable(errors).markup;

/** Returns the layer that causes most of the error, unless the error is spread. */
export const dominantLayer = (blamed: LayerTable["blamed"]): string | undefined =>
  blamed === undefined || isSpread(blamed) ? undefined : blamed.layers[0];

const margin = { top: 16, right: 20, bottom: 30, left: 56 };
const [minWidth, widthPerLayer] = [980, 9];
/** Maximum signal-to-noise ratio in decibels, also for equal layers. */
const maxDecibels = 100;

/** Returns an SVG image of the error of each layer, styled by the page. @param width in pixels at which text keeps its size. */
export const drawLayerErrors = (errors: LayersDrawing, width: number): string => layersChart(errors, width).markup;

function layersChart({ layers, blamed }: LayersDrawing, width: number): Markup {
  const first = dominantLayer(blamed);
  const frame = plotAreaOf(width, 320, margin);
  const clamp = (value: number): number => (Number.isNaN(value) ? 0 : Math.min(maxDecibels, value));
  const values = layers.flatMap(({ own = maxDecibels, signalToNoise }) => [own, signalToNoise]).map(clamp);
  const low = Math.min(0, ...values.map((value) => Math.max(-20, value)));
  const high = Math.max(10, ...values.filter((value) => value < maxDecibels)) + 5;
  const axis = verticalAxis(frame, low, high, 6);
  const x = linearScale(-0.5, layers.length - 0.5, frame.left, frame.right);
  const y = (value: number): number => axis.scale(Math.min(high, Math.max(low, clamp(value))));
  const barWidth = Math.max(1.5, 0.6 * (x(1) - x(0)));
  const bar = (layer: LayerRow, index: number): Markup => {
    const top = y(layer.own ?? layer.signalToNoise);
    const [alone = "", all = ""] = errorCells(layer);
    return html`<rect class="${layer.layer === first ? "blamed" : "own"}" x="${px(x(index) - barWidth / 2)}" width="${px(barWidth)}" y="${px(top)}" height="${px(Math.max(0, frame.bottom - top))}"><title>${placeName(layer)} (${layer.operator}): alone ${alone}, with all before ${all}</title></rect>`;
  };
  return html`<svg class="chart layers" viewBox="0 0 ${width} ${frame.height}" role="img" aria-label="Signal to noise of each layer in decibels">
${drawGrid(frame, axis, (tick) => `${withMinusSign(String(tick))} dB`)}
${layers.map(bar)}
<polyline points="${layers.map(({ signalToNoise }, index) => `${px(x(index))},${px(y(signalToNoise))}`).join(" ")}"/>
<g class="axis">${labelMarkup(frame.right, frame.height - 8, "layers, from inputs to outputs →", "end")}</g>
</svg>`;
}
