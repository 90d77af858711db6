import { allLayers, counterpartsAmong, infer, type Layer, layers, storedForm, weightBits } from "#analysis";
import { bytes, count, counted, dimsText, elementCount, type Model, optionError } from "#ir";
import { type Content, html, type Markup, trusted } from "../markup.ts";
import { graphStyle, tokens } from "../style.ts";
import { collectPicture } from "./picture.ts";
import { clip, type DrawnBox, placePicture } from "./placement.ts";

/** Draws the main graph of a model as an SVG element for a styled page. */
export const drawGraph = (model: Model): string => svgOf(model, undefined).markup;

/** Returns the drawing as an SVG file. @param original whose bytes each layer also shows. @throws PithError E_OPTION if no layer has a match. */
export const pictureOfGraph = (model: Model, original: Model | undefined): string =>
  svgOf(model, original, ' xmlns="http://www.w3.org/2000/svg"', html`<style>${trusted(tokens + graphStyle)}</style>`)
    .markup;

function svgOf(model: Model, original: Model | undefined, namespace = "", style?: Markup): Markup {
  const copy = model.clone();
  copy.graph.sort();
  const inference = infer(copy);
  const drawnLayers = layers(copy, inference);
  const factsOf = original === undefined ? weightFacts : differenceFrom(original, drawnLayers);
  const { boxes, lines, frames, width, height } = placePicture(collectPicture(copy.graph, inference, drawnLayers));
  const frameRects = frames.map(
    (frame) =>
      html`<rect class="frame" x="${frame.x}" y="${frame.y}" width="${frame.width}" height="${frame.height}" rx="8"/>`,
  );
  const edges = lines.map(({ d }) => html`<path class="edge" d="${d}"/>`);
  const labels = frames.map(
    ({ x, y, label }) => html`<text class="block" x="${x - 6}" y="${y}" dy="1em">${label}</text>`,
  );
  return html`<svg${trusted(namespace)} class="graph" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Graph of ${counted(boxes.length, "box")}">${style}${frameRects}${edges}${boxes.map((box) => boxMarkup(box, factsOf))}${labels}</svg>`;
}

type Facts = (layer: Layer) => string;

function boxMarkup(box: DrawnBox, factsOf: Facts): Markup {
  const { family, x, y, width, height, title, name, note, isCompound, layer } = box;
  const rect = (grow: number): Markup =>
    html`<rect class="body" x="${-width / 2 - grow}" y="${-height / 2 - grow}" width="${width + 2 * grow}" height="${height + 2 * grow}" rx="${family === "port" ? height / 2 : 4}"/>`;
  const lines = [
    [...new Set([title, name])].join(" "),
    ...box.inputs.map((text) => `in ${text}`),
    ...box.outputs.map((text) => `out ${text}`),
  ];
  return html`<g class="box ${family}" transform="translate(${x} ${y})"><title>${lines.join("\n")}</title>${isCompound && rect(3)}${rect(0)}${layer === undefined ? html`<text y="4">${box.label}</text>` : layerContent(box, factsOf(layer))}${note !== undefined && html`<text class="dims" x="6" y="${height / 2 + 12}">${note}</text>`}</g>`;
}

const layerContent = ({ name, title }: DrawnBox, facts: string): Content =>
  html`<text class="name" x="-106" y="-4">${ending(name)}</text><text class="facts" x="-106" y="13">${clip(`${title} ${facts}`, 42)}</text>`;

function weightFacts(layer: Layer): string {
  const { dims } = storedForm(layer);
  const bits = weightBits(layer);
  return `${dimsText(dims)}, ${count(elementCount(dims))}${bits === undefined || bits === 32 ? "" : `, ${bits} bits`}`;
}

/** Returns the texts of layers with an original: "147 kB → 23.0 kB, [40, 64, 3, 3]". */
function differenceFrom(original: Model, modelLayers: readonly Layer[]): Facts {
  const counterparts = counterpartsAmong(allLayers(original, infer(original)));
  if (modelLayers.length > 0 && modelLayers.every((layer) => counterparts(layer).length === 0))
    throw optionError("No layer of the original has the name or the output of a layer of the model.", {
      hint: "Give the model from which this one was made.",
    });
  const sizeOf = ({ weight }: Layer): string => bytes(weight.tensor?.bytes ?? 0);
  return (layer) => {
    const [before] = counterparts(layer);
    const form = dimsText(storedForm(layer).dims);
    if (before === undefined) return `new, ${sizeOf(layer)}, ${form}`;
    return `${[...new Set([sizeOf(before), sizeOf(layer)])].join(" → ")}, ${form}`;
  };
}

/** Keeps the end of a path, because the ends differ between layers. */
export function ending(text: string): string {
  const maxLength = 29;
  if (text.length <= maxLength) return text;
  const rest = text.slice(1 - maxLength);
  const part = rest.search(/[./]/);
  return `…${part >= 0 && part < rest.length / 2 ? rest.slice(part) : rest}`;
}
