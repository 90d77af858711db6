/** A model's main graph as one HTML page: boxes from inputs to outputs, the darker the more bytes of weights they hold. */
import { infer } from "../../analysis/infer.ts";
import { layers } from "../../analysis/layers.ts";
import { describe, usedValues, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { dimsText } from "../../tensor/dims.ts";
import { bytes } from "../numbers.ts";
import { layout } from "./layout.ts";

interface Drawn {
  readonly kind: "input" | "output" | "node";
  readonly lines: readonly string[];
  readonly title: string;
  /** Bytes of stored weights. */
  readonly weight: number;
}

const characterWidth = 6.6;
const padding = 16;
const boxHeight = 36;
const rankHeight = 64;
const margin = 24;

/** The page. The model's nodes are put into order. @param name what the page is called. */
export function picture(model: Model, name: string): string {
  const { drawn, edges } = collect(model);
  const widths = drawn.map(({ lines }) => Math.max(...lines.map((line) => line.length)) * characterWidth + padding);
  const placed = layout(
    widths.map((width) => ({ width })),
    edges,
  );
  const heaviest = Math.max(1, ...drawn.map((one) => one.weight));
  const y = (rank: number): number => margin + rank * rankHeight;
  const paths = placed.edges.map((points) => {
    const [first, ...rest] = points.map((point) => ({ x: round(margin + point.x), y: y(point.rank) }));
    if (first === undefined) return "";
    let before = { x: first.x, y: first.y + boxHeight / 2 };
    const curves = rest.map((point, index) => {
      const end = index === rest.length - 1 ? { x: point.x, y: point.y - boxHeight / 2 } : point;
      const middle = round((before.y + end.y) / 2);
      const curve = `C${before.x} ${middle} ${end.x} ${middle} ${end.x} ${end.y}`;
      before = end;
      return curve;
    });
    return `<path d="M${first.x} ${first.y + boxHeight / 2}${curves.join("")}"/>`;
  });
  const boxes = drawn.map((one, index) => {
    const place = placed.boxes[index] ?? { x: 0, rank: 0 };
    const width = widths[index] ?? 0;
    // The square root: a layer of a hundredth of the bytes should still be seen.
    const shade = 0.9 * Math.sqrt(one.weight / heaviest);
    const text = one.lines.map((line, row) => {
      const offset = (row - (one.lines.length - 1) / 2) * 13 + 4;
      return `<text y="${round(offset)}"${row > 0 ? ' class="name"' : ""}>${escapeHtml(line)}</text>`;
    });
    return (
      `<g class="${one.kind}${shade > 0.55 ? " dark" : ""}" transform="translate(${round(margin + place.x)} ${y(place.rank)})">` +
      `<title>${escapeHtml(one.title)}</title>` +
      `<rect x="${round(-width / 2)}" y="${-boxHeight / 2}" width="${round(width)}" height="${boxHeight}" rx="${one.kind === "node" ? 4 : 18}"${shade > 0 ? ` style="fill:rgb(38 92 160/${shade.toFixed(2)})"` : ""}/>` +
      `${text.join("")}</g>`
    );
  });
  const size = `width="${round(placed.width + 2 * margin)}" height="${y(placed.ranks - 1) + margin}"`;
  return page(name, `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${paths.join("")}${boxes.join("")}</svg>`);
}

function collect(model: Model): { readonly drawn: Drawn[]; readonly edges: [number, number][] } {
  // Files may list nodes in an order of their own.
  model.graph.sort();
  const inference = infer(model);
  const layerOf = new Map(layers(model, inference).map((layer) => [layer.node, layer]));
  const drawn: Drawn[] = [];
  const edges: [number, number][] = [];
  const placeOf = new Map<Value, number>();
  const add = (one: Drawn): number => drawn.push(one) - 1;
  const valueText = (value: Value): string => `${value.name}: ${value.type?.type ?? "?"} ${dimsText(value.type?.dims)}`;
  for (const input of model.graph.feeds) {
    placeOf.set(input, add({ kind: "input", lines: [input.name, shapeOf(input)], title: valueText(input), weight: 0 }));
  }
  for (const node of model.graph.nodes()) {
    const used = [...usedValues(node)];
    // Nodes that only make constants would hide the network.
    const stored = used.every((value) => inference.operand(value)?.stored === true);
    if (stored) continue;
    const layer = layerOf.get(node);
    const weight = used.reduce((sum, value) => sum + (value.tensor?.bytes ?? 0), 0);
    const outputs = node.outputs.flatMap((output) => (output === undefined ? [] : [valueText(output)]));
    const title = [
      describe(node),
      ...outputs.map((text) => `→ ${text}`),
      ...(weight > 0 ? [`weights ${bytes(weight)}`] : []),
    ];
    const lines = layer === undefined ? [node.op] : [node.op, layer.name];
    const index = add({ kind: "node", lines, title: title.join("\n"), weight });
    for (const from of new Set(used.map((value) => placeOf.get(value))))
      if (from !== undefined) edges.push([from, index]);
    for (const output of node.outputs) if (output !== undefined) placeOf.set(output, index);
  }
  for (const output of model.graph.outputs) {
    const from = placeOf.get(output);
    const index = add({ kind: "output", lines: [output.name, shapeOf(output)], title: valueText(output), weight: 0 });
    if (from !== undefined) edges.push([from, index]);
  }
  return { drawn, edges };
}

function shapeOf(value: Value): string {
  return dimsText(value.type?.dims);
}

function page(name: string, svg: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escapeHtml(name)}</title>
<style>
body { margin: 0; font: 12px system-ui, sans-serif; background: #fff; color: #1b1f24; }
svg { display: block; margin: 0 auto; }
text { text-anchor: middle; font: 12px ui-monospace, monospace; fill: #1b1f24; }
text.name { font-size: 10px; }
path { fill: none; stroke: #9aa4b0; }
rect { fill: #fff; stroke: #5b6673; }
.input rect, .output rect { fill: #eef1f4; }
.dark text { fill: #fff; }
</style>
${svg}
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
