/** Draws the main graph of a model as SVG. */
import { infer, type Layer, layers, storedForm, weightBits } from "#analysis";
import { dimsText, elementCount, type Model } from "#ir";
import { count, counted } from "../../../core/numbers.ts";
import { type Content, html, type Markup } from "../markup.ts";
import { clip, type DrawnBox, draw } from "./draw.ts";
import { collectPicture } from "./graph.ts";

/** Draws the main graph of a model in rows from inputs to outputs, with repeated blocks in frames. Returns an SVG element. */
export function drawGraph(model: Model): string {
  const copy = model.clone();
  copy.graph.sort();
  const inference = infer(copy);
  const { boxes, lines, frames, width, height } = draw(collectPicture(copy.graph, inference, layers(copy, inference)));
  const frameRects = frames.map(
    (frame) =>
      html`<rect class="frame" x="${frame.x}" y="${frame.y}" width="${frame.width}" height="${frame.height}" rx="8"/>`,
  );
  const edges = lines.map(({ d }) => html`<path class="edge" d="${d}"/>`);
  const labels = frames.map(
    ({ x, y, label }) => html`<text class="block" x="${x - 6}" y="${y}" dy="1em">${label}</text>`,
  );
  return html`<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Graph of ${counted(boxes.length, "box")}">${frameRects}${edges}${boxes.map(boxMarkup)}${labels}</svg>`
    .markup;
}

function boxMarkup(box: DrawnBox): Markup {
  const { family, x, y, width, height, title, name, note, isCompound, layer } = box;
  const rect = (grow: number): Markup =>
    html`<rect class="body" x="${-width / 2 - grow}" y="${-height / 2 - grow}" width="${width + 2 * grow}" height="${height + 2 * grow}" rx="${family === "port" ? height / 2 : 4}"/>`;
  const lines = [
    [...new Set([title, name])].join(" "),
    ...box.inputs.map((text) => `in ${text}`),
    ...box.outputs.map((text) => `out ${text}`),
  ];
  return html`<g class="box ${family}" transform="translate(${x} ${y})"><title>${lines.join("\n")}</title>${isCompound && rect(3)}${rect(0)}${layer === undefined ? html`<text y="4">${box.label}</text>` : layerContent(box, layer)}${note !== undefined && html`<text class="dims" x="6" y="${height / 2 + 12}">${note}</text>`}</g>`;
}

function layerContent({ name, title }: DrawnBox, layer: Layer): Content {
  const facts = `${title} ${weightFacts(layer)}`;
  return html`<text class="name" x="-106" y="-4">${ending(name)}</text><text class="facts" x="-106" y="13">${clip(facts, 42)}</text>`;
}

function weightFacts(layer: Layer): string {
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
