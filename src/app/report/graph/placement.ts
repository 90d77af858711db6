/** Computes the drawing of a graph: positions of boxes, curves of edges, and frames around repeated blocks. */
import { groupBy } from "#ir";
import { layout, type Point } from "./layout.ts";
import type { GraphBox, Picture } from "./picture.ts";

export interface PlacedBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface DrawnBox extends GraphBox, PlacedBox {
  readonly label: string;
  readonly note: string | undefined;
}

export interface Drawing {
  readonly boxes: readonly DrawnBox[];
  /** Curves of SVG paths, with the indices of the boxes that they join. */
  readonly lines: readonly { readonly from: number; readonly to: number; readonly d: string }[];
  readonly frames: readonly BlockFrame[];
  readonly width: number;
  readonly height: number;
}

const layerSize = { width: 236, height: 44 };
const smallHeight = 24;
const characterWidth = 6.9;
/** A note is the shape of a tensor below a box: the width of its characters, and its offset from the box's center. */
const noteWidth = 5.4;
const noteStart = 6;
const maxTitle = 34;
const maxNote = 30;
const rankGap = 30;
const margin = 28;

function titleOf({ title, table, bits, isCompound }: GraphBox): string {
  const tableName = table === undefined ? "" : ` · ${table.split(/[/.]/).at(-1)}`;
  return `${clip(`${title}${tableName}`)}${bits === undefined ? "" : ` · ${bits} bits`}${isCompound ? " ▸" : ""}`;
}

function noteOf({ shape }: GraphBox): string | undefined {
  return shape === undefined ? undefined : clip(shape, maxNote);
}

/** Lengths are in pixels. */
export function placePicture(picture: Picture): Drawing {
  const { edges } = picture;
  const sizes = picture.boxes.map(sizeOf);
  const placement = layout(sizes, edges);
  const rows = rankRows(placement.boxes, sizes, placement.ranks);
  const boxes = picture.boxes.map((box, index): DrawnBox => {
    const { x, rank } = placement.boxes[index] ?? { x: 0, rank: 0 };
    const { width, height } = sizes[index] ?? { width: 0, height: 0 };
    const place = { x: round(x + margin), y: rows[rank]?.middle ?? 0, width: round(width), height };
    return { ...box, ...place, label: titleOf(box), note: noteOf(box) };
  });
  const lines = edges.flatMap(([from, to], index) => {
    const [start, end] = [boxes[from], boxes[to]];
    if (start === undefined || end === undefined) return [];
    return [{ from, to, d: drawLine(placement.edges[index] ?? [], rows, start, end) }];
  });
  const framedBoxes = boxes.flatMap(({ path, x, y, width, height }, index) => {
    const right = x + Math.max(width / 2, sizes[index]?.right ?? 0);
    return path === "" ? [] : [{ path, left: x - width / 2, right, top: y - height / 2, bottom: y + height / 2 }];
  });
  return {
    boxes,
    lines,
    frames: findBlockFrames(framedBoxes),
    width: Math.ceil(placement.width + 2 * margin),
    height: Math.ceil((rows.at(-1)?.middle ?? 0) + layerSize.height / 2 + margin),
  };
}

function sizeOf(box: GraphBox): { readonly width: number; readonly height: number; readonly right: number } {
  const note = noteOf(box);
  const right = note === undefined ? 0 : noteStart + note.length * noteWidth;
  if (box.layer !== undefined) return { ...layerSize, right };
  return { width: Math.max(44, titleOf(box).length * characterWidth + 20), height: smallHeight, right };
}

interface Row {
  readonly middle: number;
  readonly height: number;
}

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

interface CurvePoint {
  readonly x: number;
  readonly y: number;
}

/** Returns the curve of an edge from the foot of a box, or from a bend, to the head of another box. */
function drawLine(points: readonly Point[], rows: readonly Row[], from: PlacedBox, to: PlacedBox): string {
  const spots: CurvePoint[] = [];
  for (const [index, point] of points.slice(0, -1).entries()) {
    const { middle, height } = rows[point.rank] ?? { middle: 0, height: 0 };
    const x = point.x + margin;
    if (index === 0) spots.push({ x, y: (middle === from.y ? from.height : height) / 2 + middle });
    else if (height > smallHeight) spots.push({ x, y: middle - height / 2 }, { x, y: middle + height / 2 });
    else spots.push({ x, y: middle });
  }
  spots.push({ x: to.x, y: to.y - to.height / 2 });
  return curveThrough(spots);
}

/** Returns a monotone cubic curve, which does not overshoot (Fritsch, Butland 1984). */
function curveThrough(spots: readonly CurvePoint[]): string {
  const slopes = spots.slice(1).map((spot, index) => {
    const previous = spots[index] ?? spot;
    return spot.y === previous.y ? 0 : (spot.x - previous.x) / (spot.y - previous.y);
  });
  const tangents = spots.map((_, index) => {
    const [a, b] = [slopes[index - 1] ?? 0, slopes[index] ?? 0];
    return a * b <= 0 ? 0 : (2 * a * b) / (a + b);
  });
  const [start = { x: 0, y: 0 }] = spots;
  let path = `M${round(start.x)} ${round(start.y)}`;
  let straight = "";
  spots.slice(1).forEach((spot, index) => {
    const previous = spots[index] ?? spot;
    if (Math.abs(previous.x - spot.x) < 0.05) {
      straight = `V${round(spot.y)}`;
      return;
    }
    const third = (spot.y - previous.y) / 3;
    // Longer handles at the ends look calmer.
    const handleLength = (end: boolean): number => (end ? 1.5 * third : third);
    const [out, into] = [handleLength(index === 0), handleLength(index === spots.length - 2)];
    const first = `${round(previous.x + (tangents[index] ?? 0) * out)} ${round(previous.y + out)}`;
    const second = `${round(spot.x - (tangents[index + 1] ?? 0) * into)} ${round(spot.y - into)}`;
    path += `${straight}C${first} ${second} ${round(spot.x)} ${round(spot.y)}`;
    straight = "";
  });
  return path + straight;
}

export function clip(text: string, maxLength = maxTitle): string {
  return text.length > maxLength ? `${text.slice(0, maxLength - 9)}…${text.slice(-8)}` : text;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export interface FramedBox {
  readonly path: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface BlockFrame extends PlacedBox {
  readonly label: string;
}

const minBoxes = 3;
const padding = { side: 14, head: 12, foot: 12 };

function findBlockFrames(boxes: readonly FramedBox[]): readonly BlockFrame[] {
  const members = new Map<string, { readonly stem: string; readonly label: string; readonly boxes: FramedBox[] }>();
  for (const box of boxes) {
    const blockName = blockOf(box.path);
    if (blockName === undefined) continue;
    const block = members.get(blockName.key) ?? { ...blockName, boxes: [] };
    members.set(blockName.key, block);
    block.boxes.push(box);
  }
  const largeBlocks = [...members.values()].filter((block) => block.boxes.length >= minBoxes);
  const repeatedBlocks = [...groupBy(largeBlocks, ({ stem }) => stem).values()]
    .filter(({ length }) => length > 1)
    .flat();
  const acceptedFrames: BlockFrame[] = [];
  for (const frame of repeatedBlocks
    .map((block) => frameAround(block.label, block.boxes))
    .toSorted((a, b) => a.y - b.y))
    if (!acceptedFrames.some((other) => overlap(frame, other))) acceptedFrames.push(frame);
  return acceptedFrames;
}

/** Returns the block in a path: "/encoder/layer.3/attention/MatMul" is in the block "layer.3" of the stem "encoder.layer.". */
function blockOf(path: string): { readonly key: string; readonly stem: string; readonly label: string } | undefined {
  const parts = path.split(/[/.]/).filter((part) => part !== "");
  // The last part names the node itself, so its number counts nodes and not blocks.
  const position = parts.findIndex((part, index) => index < parts.length - 1 && /^(.*[_-])?\d+$/.test(part));
  if (position < 0) return undefined;
  const part = parts[position] ?? "";
  const isBare = /^\d+$/.test(part);
  const outerParts = parts.slice(0, position);
  return {
    key: [...outerParts, part].join("."),
    stem: [...outerParts, part.replace(/\d+$/, "")].join("."),
    label: isBare && position > 0 ? `${outerParts.at(-1)}.${part}` : part,
  };
}

function frameAround(label: string, boxes: readonly FramedBox[]): BlockFrame {
  const max = (value: (box: FramedBox) => number): number =>
    boxes.reduce((high, box) => Math.max(high, value(box)), -Infinity);
  const x = -max((box) => -box.left) - padding.side;
  const y = -max((box) => -box.top) - padding.head;
  const width = max((box) => box.right) + padding.side - x;
  return { x, y, width, height: max((box) => box.bottom) + padding.foot - y, label };
}

/** Returns whether two frames overlap by more than their padding at head and foot. */
function overlap(a: BlockFrame, b: BlockFrame): boolean {
  const overlapHeight = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const overlapWidth = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  return overlapWidth > 0 && overlapHeight > padding.head + padding.foot;
}
