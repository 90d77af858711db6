/** Draws graphs as SVG. The page of `pith plot` and the studio show the same drawing; the page adds pictures of the weights. */
import { cost, infer, type Layer, layers, storedForm, weightBits } from "#analysis";
import { dimsText, elementCount, type Model } from "#ir";
import { count, counted } from "../../../core/numbers.ts";
import { type Content, html, type Markup } from "../markup.ts";
import { clip, type Drawing, type DrawnBox, draw } from "./draw.ts";
import { collectPictures } from "./graph.ts";

/** Place of the strip that shows a weight, relative to the center of its layer's box. */
export const strip = { x: -106, y: 2, width: 212, height: 16 };

/**
 * Draws the main graph of a model as `pith plot` does: in rows from inputs to outputs, with repeated blocks in frames. Returns an SVG element.
 */
export function drawGraph(model: Model): string {
  const copy = model.clone();
  copy.graph.sort();
  const inference = infer(copy);
  const [picture] = collectPictures(copy, inference, layers(copy, inference), cost(copy, inference));
  return drawSvg(draw(picture)).markup;
}

/** Content of a layer's box, if its weight was read. */
export interface DrawnLayer {
  readonly facts: string;
  /** Norms of groups of output channels, relative to the largest; empty if the weight cannot be shown. */
  readonly heat: readonly number[];
}

/** Returns a drawing as SVG. @param first number of its first box, if boxes of several drawings are numbered. */
export function drawSvg(
  { boxes, lines, frames, width, height }: Drawing,
  first = 0,
  layerOf: (index: number) => DrawnLayer | undefined = () => undefined,
): Markup {
  const frameRects = frames.map(
    (frame) =>
      html`<rect class="frame" x="${frame.x}" y="${frame.y}" width="${frame.width}" height="${frame.height}" rx="8"/>`,
  );
  const edges = lines.map(
    ({ from, to, d }) => html`<path class="edge" data-from="${first + from}" data-to="${first + to}" d="${d}"/>`,
  );
  const labels = frames.map(
    ({ x, y, label }) => html`<text class="block" x="${x - 6}" y="${y}" dy="1em">${label}</text>`,
  );
  return html`<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Graph of ${counted(boxes.length, "box")}">${frameRects}${edges}${boxes.map((box, index) => boxMarkup(box, first + index, layerOf(index)))}${labels}</svg>`;
}

function boxMarkup(box: DrawnBox, number: number, drawn: DrawnLayer | undefined): Markup {
  const { family, x, y, width, height, title, name, note, graphs, layer } = box;
  const rect = (grow: number): Markup =>
    html`<rect class="body" x="${-width / 2 - grow}" y="${-height / 2 - grow}" width="${width + 2 * grow}" height="${height + 2 * grow}" rx="${family === "port" ? height / 2 : 4}"/>`;
  const lines = [
    [...new Set([title, name])].join(" "),
    ...box.inputs.map((text) => `in ${text}`),
    ...box.outputs.map((text) => `out ${text}`),
  ];
  return html`<g class="box ${family}" data-box="${number}" transform="translate(${x} ${y})"><title>${lines.join("\n")}</title>${graphs.length > 0 && rect(3)}${rect(0)}${layer === undefined ? html`<text y="4">${box.label}</text>` : layerContent(box, layer, drawn)}${note !== undefined && html`<text class="dims" x="6" y="${height / 2 + 12}">${note}</text>`}</g>`;
}

function layerContent({ name, title }: DrawnBox, layer: Layer, drawn: DrawnLayer | undefined): Content {
  const { x, y, width, height } = strip;
  const [nameY, factsY] = drawn === undefined ? [-4, 13] : [-21, -6];
  const facts = drawn?.facts ?? `${title} ${weightFacts(layer)}`;
  const texts = html`<text class="name" x="${x}" y="${nameY}">${ending(name)}</text><text class="facts" x="${x}" y="${factsY}">${clip(facts, 42)}</text>`;
  if (drawn === undefined) return texts;
  const cell = width / drawn.heat.length;
  // All columns of a shade are one path.
  const shades = Array.from({ length: 8 }, () => "");
  drawn.heat.forEach((share, index) => {
    const start = (x + index * cell).toFixed(1);
    shades[Math.min(7, Math.floor(share * 8))] += `M${start} ${y}h${cell.toFixed(1)}v${height}h-${cell.toFixed(1)}z`;
  });
  const columns = shades.map(
    (d, shade) =>
      d !== "" && html`<path class="heat" fill-opacity="${(0.1 + (0.9 * (shade + 1)) / 8).toFixed(2)}" d="${d}"/>`,
  );
  return [texts, columns, html`<path class="gone"/><text class="facts removed" x="${x}" y="31"></text>`];
}

export function weightFacts(layer: Layer): string {
  const { dims } = storedForm(layer);
  const bits = weightBits(layer);
  return `${dimsText(dims)}, ${count(elementCount(dims))}${bits === undefined || bits === 32 ? "" : `, ${bits} bits`}`;
}

/** Keeps the end of a path, in whole parts if they fit, because the ends differ between layers. */
export function ending(text: string): string {
  const maxLength = 29;
  if (text.length <= maxLength) return text;
  const rest = text.slice(1 - maxLength);
  const part = rest.search(/[./]/);
  return `…${part >= 0 && part < rest.length / 2 ? rest.slice(part) : rest}`;
}
