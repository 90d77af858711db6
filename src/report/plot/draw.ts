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
    return { x: round(x + margin), y: rows[rank]?.middle ?? 0, width: round(width), height };
  });
  const bands = Math.ceil(placed.ranks / ranksPerBand);
  const bandOf = (index: number): number => Math.floor((placed.boxes[index]?.rank ?? 0) / ranksPerBand);
  const inBand: { edges: Markup[]; boxes: Markup[] }[] = Array.from({ length: bands }, () => ({
    edges: [],
    boxes: [],
  }));
  const long: Markup[] = [];
  edges.forEach(([from, to], index) => {
    const [start, end] = [places[from], places[to]];
    if (start === undefined || end === undefined) return;
    const curve = edge(placed.edges[index] ?? [], rows, start, end, `${from} ${to}`);
    if (bandOf(from) === bandOf(to)) inBand[bandOf(from)]?.edges.push(curve);
    else long.push(curve);
  });
  boxes.forEach((box, index) => {
    const place = places[index];
    if (place !== undefined) inBand[bandOf(index)]?.boxes.push(boxMarkup(box, place, drawn[index], index, amount));
  });
  const height = (rows.at(-1)?.middle ?? 0) + layerSize.height / 2 + margin;
  const width = Math.ceil(placed.width + 2 * margin);
  const bandMarkup = inBand.map((band, index): Content => {
    const top = rows[index * ranksPerBand]?.middle ?? 0;
    const bottom = rows[Math.min(rows.length - 1, (index + 1) * ranksPerBand)]?.middle ?? height;
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

interface Row {
  readonly middle: number;
  readonly height: number;
}

/** Each rank as far below the one before as their highest boxes need. */
function rankRows(
  points: readonly Point[],
  sizes: readonly { readonly height: number }[],
  ranks: number,
): readonly Row[] {
  const heights = new Array<number>(ranks).fill(smallHeight);
  points.forEach(({ rank }, index) => {
    heights[rank] = Math.max(heights[rank] ?? 0, sizes[index]?.height ?? 0);
  });
  let y = margin;
  return heights.map((height) => {
    const middle = y + height / 2;
    y += height + rankGap;
    return { middle, height };
  });
}

interface Spot {
  readonly x: number;
  readonly y: number;
}

/** From the foot of one box, or a bend, to the head of another, straight down beside the high boxes on the way. */
function edge(points: readonly Point[], rows: readonly Row[], from: Placed, to: Placed, ends: string): Markup {
  const spots: Spot[] = [];
  for (const [index, point] of points.slice(0, -1).entries()) {
    const { middle, height } = rows[point.rank] ?? { middle: 0, height: 0 };
    const x = point.x + margin;
    if (index === 0) spots.push({ x, y: (middle === from.y ? from.height : height) / 2 + middle });
    else if (height > smallHeight) spots.push({ x, y: middle - height / 2 }, { x, y: middle + height / 2 });
    else spots.push({ x, y: middle });
  }
  spots.push({ x: to.x, y: to.y - to.height / 2 });
  return html`<path class="edge" data-ends="${ends}" d="${curveThrough(spots)}"/>`;
}

/**
 * A smooth curve through spots that follow each other downwards: cubic pieces whose slopes dx/dy are the harmonic means of those beside them,
 * 0 at turns and ends, so that it never swings out past its spots (Fritsch, Butland 1984).
 */
function curveThrough(spots: readonly Spot[]): string {
  const slopes = spots.slice(1).map((spot, index) => {
    const before = spots[index] ?? spot;
    return spot.y === before.y ? 0 : (spot.x - before.x) / (spot.y - before.y);
  });
  const tangents = spots.map((_, index) => {
    const [a, b] = [slopes[index - 1] ?? 0, slopes[index] ?? 0];
    return a * b <= 0 ? 0 : (2 * a * b) / (a + b);
  });
  const pieces = spots.slice(1).map((spot, index) => {
    const before = spots[index] ?? spot;
    if (Math.abs(before.x - spot.x) < 0.05) return `V${round(spot.y)}`;
    const third = (spot.y - before.y) / 3;
    // Ends leave a box straight down: there a longer handle looks calmer.
    const reach = (end: boolean): number => (end ? 1.5 * third : third);
    const [out, into] = [reach(index === 0), reach(index === spots.length - 2)];
    const first = `${round(before.x + (tangents[index] ?? 0) * out)} ${round(before.y + out)}`;
    const second = `${round(spot.x - (tangents[index + 1] ?? 0) * into)} ${round(spot.y - into)}`;
    return `C${first} ${second} ${round(spot.x)} ${round(spot.y)}`;
  });
  const [start = { x: 0, y: 0 }] = spots;
  return `M${round(start.x)} ${round(start.y)}${pieces.join("")}`;
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
