/** The drawing: boxes placed in layers from inputs to outputs, edges as curves, all as SVG that the page's style colours. */
import { type Content, html, type Markup } from "../markup.ts";
import { integer } from "../numbers.ts";
import type { Box, Picture } from "./graph.ts";
import { layout, type Point } from "./layout.ts";
import { removedCount } from "./weights.ts";

/** A layer as it is drawn: with numbers, or with the reason why there are none. */
export interface DrawnLayer {
  readonly shape: string;
  readonly entries: number | undefined;
  readonly heat: readonly number[];
}

export interface Placed {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Drawing {
  readonly svg: Markup;
  readonly places: readonly Placed[];
  readonly width: number;
  readonly height: number;
}

const layerSize = { width: 236, height: 76 };
const smallHeight = 24;
const characterWidth = 6.9;
const mostTitle = 34;
const rankGap = 30;
const margin = 28;
export const strip = { x: -106, y: 2, width: 212, height: 16 };
/** Ranks whose boxes are shown and hidden together, as the view moves: thousands of boxes at once would make it slow. */
const ranksPerBand = 40;
/** Shades of a strip. */
const shades = 8;

/** @param drawn for each box that is a layer its numbers. */
export function draw(picture: Picture, drawn: readonly (DrawnLayer | undefined)[], amount: number): Drawing {
  const { boxes, edges } = picture;
  const sizes = boxes.map((box, index) => sizeOf(box, drawn[index]));
  const placed = layout(sizes, edges);
  const rows = rankRows(placed.boxes, sizes, placed.ranks);
  const places = placed.boxes.map(({ x, rank }, index): Placed => {
    const { width, height } = sizes[index] ?? { width: 0, height: 0 };
    return { x: round(x + margin), y: rows[rank] ?? 0, width: round(width), height };
  });
  const bands = Math.ceil(placed.ranks / ranksPerBand);
  const bandOf = (index: number): number => Math.floor((placed.boxes[index]?.rank ?? 0) / ranksPerBand);
  const inBand: { edges: Markup[]; boxes: Markup[] }[] = Array.from({ length: bands }, () => ({
    edges: [],
    boxes: [],
  }));
  const long: Markup[] = [];
  edges.forEach(([from, to], index) => {
    const curve = edge(placed.edges[index] ?? [], rows, places[from], places[to], `${from} ${to}`);
    if (bandOf(from) === bandOf(to)) inBand[bandOf(from)]?.edges.push(curve);
    else long.push(curve);
  });
  boxes.forEach((box, index) => {
    const place = places[index];
    if (place !== undefined) inBand[bandOf(index)]?.boxes.push(boxMarkup(box, place, drawn[index], index, amount));
  });
  const height = (rows.at(-1) ?? 0) + layerSize.height / 2 + margin;
  const width = Math.ceil(placed.width + 2 * margin);
  const bandMarkup = inBand.map((band, index): Content => {
    const top = rows[index * ranksPerBand] ?? 0;
    const bottom = rows[Math.min(rows.length - 1, (index + 1) * ranksPerBand)] ?? height;
    return html`<g class="band" data-top="${round(top - layerSize.height)}" data-bottom="${round(bottom + layerSize.height)}">${band.edges}${band.boxes}</g>\n`;
  });
  const svg = html`<svg id="drawing" width="${width}" height="${Math.ceil(height)}"><defs>
<pattern id="gone" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="gone-ground" width="5" height="5"/><rect class="gone-line" width="1.6" height="5"/></pattern></defs>
<g id="scene">${long}
${bandMarkup}</g></svg>`;
  return { svg, places, width, height };
}

function sizeOf(box: Box, layer: DrawnLayer | undefined): { readonly width: number; readonly height: number } {
  if (layer !== undefined) return layerSize;
  return { width: Math.max(44, clip(box.title).length * characterWidth + 20), height: smallHeight };
}

/** Middle of each rank: as far below the one before as their highest boxes need. */
function rankRows(
  points: readonly Point[],
  sizes: readonly { readonly height: number }[],
  ranks: number,
): readonly number[] {
  const heights = new Array<number>(ranks).fill(smallHeight);
  points.forEach(({ rank }, index) => {
    heights[rank] = Math.max(heights[rank] ?? 0, sizes[index]?.height ?? 0);
  });
  let y = margin;
  return heights.map((height) => {
    const middle = y + height / 2;
    y += height + rankGap;
    return middle;
  });
}

function edge(
  points: readonly Point[],
  rows: readonly number[],
  from: Placed | undefined,
  to: Placed | undefined,
  ends: string,
): Markup {
  const [first] = points;
  if (first === undefined || from === undefined || to === undefined) return html``;
  let before = { x: from.x, y: from.y + from.height / 2 };
  const curves = points.slice(1).map((point, index) => {
    const last = index === points.length - 2;
    const end = last ? { x: to.x, y: to.y - to.height / 2 } : { x: round(point.x + margin), y: rows[point.rank] ?? 0 };
    const straight = before.x === end.x;
    const middle = round((before.y + end.y) / 2);
    const path = straight ? `V${round(end.y)}` : `C${before.x} ${middle} ${end.x} ${middle} ${end.x} ${round(end.y)}`;
    before = end;
    return path;
  });
  return html`<path class="edge" data-ends="${ends}" d="${`M${from.x} ${round(from.y + from.height / 2)}${curves.join("")}`}"/>`;
}

function boxMarkup(box: Box, place: Placed, layer: DrawnLayer | undefined, index: number, amount: number): Markup {
  const { x, y, width, height } = place;
  const radius = box.family === "port" ? height / 2 : 4;
  const below =
    box.shape !== undefined && html`<text class="shape" x="6" y="${height / 2 + 12}">${clip(box.shape, 44)}</text>`;
  return html`<g class="box ${box.family}" data-box="${index}" transform="translate(${x} ${round(y)})"><title>${box.title} ${box.name}</title><rect class="body" x="${round(-width / 2)}" y="${-height / 2}" width="${width}" height="${height}" rx="${radius}"/>${
    layer === undefined ? html`<text class="title" y="4">${clip(box.title)}</text>` : layerMarkup(box, layer, amount)
  }${below}</g>\n`;
}

function layerMarkup(box: Box, { shape, entries, heat }: DrawnLayer, amount: number): Markup {
  const left = strip.x;
  const numbers = entries === undefined ? "" : removedText(amount, entries);
  return html`<text class="name" x="${left}" y="-21">${clip(box.name, 31)}</text><text class="facts" x="${left}" y="-6">${clip(`${box.title} ${shape}`, 40)}</text>${heatStrip(heat)}<path class="gone" d=""/><text class="facts removed" x="${left}" y="31">${numbers}</text>`;
}

/** "1,152 of 2,304 removed" */
export function removedText(amount: number, entries: number): string {
  return `${integer(removedCount(amount, entries))} of ${integer(entries)} removed`;
}

/** One column for each cell, darker for larger norms: one path for each shade. */
function heatStrip(heat: readonly number[]): Content {
  const cell = strip.width / Math.max(1, heat.length);
  const paths = Array.from({ length: shades }, () => "");
  heat.forEach((share, index) => {
    const shade = Math.min(shades - 1, Math.floor(share * shades));
    paths[shade] += `M${round(strip.x + index * cell)} ${strip.y}h${round(cell)}v${strip.height}h-${round(cell)}z`;
  });
  return paths.map((path, shade) => path !== "" && html`<path class="heat heat${shade}" d="${path}"/>`);
}

function clip(text: string, most = mostTitle): string {
  return text.length > most ? `${text.slice(0, most - 9)}…${text.slice(-8)}` : text;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
