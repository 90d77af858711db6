/** Builds the page and the texts of `pith debug`: how much each layer of a model differs from its original. */
import { capitalize, integer, minus, percent } from "#ir";
import { decibelsLegend } from "../../judge/record/verdict.ts";
import { type Blame, blameText, isSpread, type LayerError } from "../../runtime/noise/layer-errors.ts";
import { html, type Markup, page } from "./markup.ts";
import { drawGrid, frameOf, label, linear, px, verticalAxis } from "./scale.ts";
import { reportStyle } from "./style.ts";
import { numberCell, numberHead, textHead, wideTable } from "./tables.ts";

export interface DebuggedLayer extends LayerError {
  /** Estimated share of the error if the layer did not run alone. */
  readonly estimate?: number | undefined;
}

interface LayersDrawing {
  readonly layers: readonly DebuggedLayer[];
  readonly blamed: Blame | undefined;
}

export interface Debugged extends LayersDrawing {
  readonly original: string;
  readonly model: string;
  readonly on: string;
}

/** Formats a signal-to-noise ratio: "23.1 dB", "equal", or a dash if it is unknown. */
export function decibelsText(value: number | undefined): string {
  if (value === undefined) return "–";
  if (value === Number.POSITIVE_INFINITY) return "equal";
  return Number.isFinite(value) ? `${minus(value.toFixed(1))} dB` : "not finite";
}

/** Returns `linear`, or `linear and 19 before` if earlier layers cannot be compared individually. */
export function placeName({ layer, hidden }: Pick<DebuggedLayer, "layer" | "hidden">): string {
  return hidden.length === 0 ? layer : `${layer} and ${integer(hidden.length)} before`;
}

export function togetherNote(layers: readonly Pick<DebuggedLayer, "hidden">[]): string {
  return layers.some(({ hidden }) => hidden.length > 0)
    ? "“and … before”: those layers cannot be compared individually; the values are for all of them jointly."
    : "";
}

/** Formats a share: "12.3 %", "about 12 %" if it is an estimate, or a dash if the layer has no error. */
export function shareText({ share, estimate = 0 }: Pick<DebuggedLayer, "share" | "estimate">): string {
  const value = share ?? estimate;
  if (!Number.isFinite(value)) return "not finite";
  if (share === undefined) return estimate === 0 ? "–" : `about ${percent(Math.min(1, estimate), 0)}`;
  return percent(Math.min(1, share));
}

export function debugPage({ original, model, on, layers, blamed }: Debugged): string {
  const headline = blamed === undefined ? "No layer differs" : blameText(blamed);
  const first = dominantLayer(blamed);
  const row = (layer: DebuggedLayer, index: number): Markup =>
    html`<tr class="${layer.layer === first ? "chosen" : ""}">${numberCell(index + 1)}<td class="text"><span class="name">${placeName(layer)}</span></td><td>${layer.operator}</td>${[layer.own, layer.signalToNoise].map((value) => numberCell(decibelsText(value)))}${numberCell(shareText(layer))}</tr>\n`;
  const titles = ["alone", "with all before", "share of error"].map(numberHead);
  const body = html`<main>
<header><div class="eyebrow"><span class="name">${model}</span> against <span class="name">${original}</span>, on ${on}</div>
<h1>${headline}</h1></header>
<figure>${layersChart({ layers, blamed }, Math.max(minWidth, margin.left + margin.right + widthPerLayer * layers.length))}
<figcaption>The layers are in the order of the graph. ${capitalize(decibelsLegend)}. Bars: the output of the layer if only this layer is changed. Line: if all layers before it are changed, too.</figcaption></figure>
<h2>Layers</h2>
${wideTable([numberHead("place"), textHead("layer"), textHead("operator"), titles], layers.map(row))}
<p class="note">Share of error: what remains of the squared error of the model if only this layer is changed. Shares of independent errors add up to about 100 %. ${togetherNote(layers)}</p>
</main>`;
  return page({ title: `${model}: ${headline}`, style: reportStyle, body });
}

/** Returns the layer that causes most of the error; undefined if the error is spread over many layers. */
export function dominantLayer(blamed: Blame | undefined): string | undefined {
  return blamed === undefined || isSpread(blamed) ? undefined : blamed.layers[0];
}

const margin = { top: 16, right: 20, bottom: 30, left: 56 };
const [minWidth, widthPerLayer] = [980, 9];
/** Signal-to-noise ratio in decibels at which equal layers, whose ratio is infinite, are drawn. */
const maxDecibels = 100;

/** Returns an SVG image of the error of each layer, styled by the page. @param width in pixels at which text keeps its size. */
export const drawLayers = (errors: LayersDrawing, width: number): string => layersChart(errors, width).markup;

function layersChart({ layers, blamed }: LayersDrawing, width: number): Markup {
  const first = dominantLayer(blamed);
  const frame = frameOf(width, 320, margin);
  const clamp = (value: number): number => (Number.isNaN(value) ? 0 : Math.min(maxDecibels, value));
  const values = layers.flatMap(({ own = maxDecibels, signalToNoise }) => [own, signalToNoise]).map(clamp);
  const low = Math.min(0, ...values.map((value) => Math.max(-20, value)));
  const high = Math.max(10, ...values.filter((value) => value < maxDecibels)) + 5;
  const axis = verticalAxis(frame, low, high, 6);
  const x = linear(-0.5, layers.length - 0.5, frame.left, frame.right);
  const y = (value: number): number => axis.scale(Math.min(high, Math.max(low, clamp(value))));
  const barWidth = Math.max(1.5, 0.6 * (x(1) - x(0)));
  const bar = (layer: DebuggedLayer, index: number): Markup => {
    const { operator, own, signalToNoise } = layer;
    const top = y(own ?? signalToNoise);
    const values = `alone ${decibelsText(own)}, with all before ${decibelsText(signalToNoise)}`;
    return html`<rect class="${layer.layer === first ? "blamed" : "own"}" x="${px(x(index) - barWidth / 2)}" width="${px(barWidth)}" y="${px(top)}" height="${px(Math.max(0, frame.bottom - top))}"><title>${placeName(layer)} (${operator}): ${values}</title></rect>`;
  };
  return html`<svg class="chart layers" viewBox="0 0 ${width} ${frame.height}" role="img" aria-label="Signal to noise of each layer in decibels">
${drawGrid(frame, axis, (tick) => `${minus(String(tick))} dB`)}
${layers.map(bar)}
<polyline points="${layers.map(({ signalToNoise }, index) => `${px(x(index))},${px(y(signalToNoise))}`).join(" ")}"/>
<g class="axis">${label(frame.right, frame.height - 8, "layers, from inputs to outputs →", "end")}</g>
</svg>`;
}
