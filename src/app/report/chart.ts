/** The chart of a run: the compared size against the metric. Thin lines are intervals of the metric, thick lines those of the paired difference. */
import type { Unit } from "../../core/estimate.ts";
import { bytes, figure, minus } from "../../core/numbers.ts";
import type { Run } from "../../judge/record/data.ts";
import { comparesWithOriginal } from "../../judge/record/verdict.ts";
import { type Content, html, type Markup } from "./markup.ts";
import { linear, spreadOut, ticks } from "./scale.ts";
import { comparedSize, isByDownload, rowId } from "./search.ts";

interface Point {
  readonly name: string;
  readonly kind: "original" | "chosen" | "variant" | "refused";
  readonly bytes: number;
  readonly value: number;
  readonly interval: Interval | undefined;
  readonly paired: Interval | undefined;
}

interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Widths in chart units for screens and for phones, whose text is readable only in a narrow chart. */
export const chartWidths = { wide: 980, narrow: 440 } as const;

const height = 400;
const margin = { top: 34, right: 20, bottom: 44, left: 62 };
const pointRadius = 4.5;
const lineHeight = 17;
/** Ratio of sizes above which the axis is logarithmic. */
const maxLinearRatio = 2;
const padding = 0.12;
const letterWidth = 7.2;
const nameShare = 0.22;
const labelGap = 12;

export function chart(run: Run, width: number): Markup {
  const points = pointsOf(run);
  const searched = searchedIn(run);
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const limit = goalLine(run);
  const values = searched.map(({ value }) => value);
  const intervals = points.flatMap(({ value, interval, paired }) =>
    [{ low: value, high: value }, interval ?? [], paired ?? []].flat(),
  );
  const lows = [...values, ...intervals.map(({ low }) => low)];
  const highs = [...values, ...intervals.map(({ high }) => high)];
  const [bottomValue, topValue] = [
    Math.min(...lows, limit ?? Number.POSITIVE_INFINITY),
    Math.max(...highs, limit ?? Number.NEGATIVE_INFINITY),
  ];
  const pad = 0.06 * (topValue - bottomValue) || 0.01;
  const [least, most] = run.metric.unit === "share" ? [0, 1] : [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const [low, high] = [Math.max(least, bottomValue - pad), Math.min(most, topValue + pad)];
  const y = linear(low, high, bottom, margin.top);
  const xAxis = bytesAxis(
    [...points, ...searched].map((point) => point.bytes),
    margin.left,
    right,
    Math.round(width / 140),
  );
  const yTicks = ticks(low, high, 5);
  const { name, unit, better } = run.metric;
  const title = `${name} against ${isByDownload(run.search) ? "bytes after brotli" : "bytes"}: ${points.map((point) => `${point.name} ${bytes(point.bytes)}, ${figure(unit, point.value)}`).join("; ")}`;
  return html`<svg class="chart ${width === chartWidths.narrow ? "narrow" : "broad"}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<g class="grid">${yTicks.map((tick) => html`<line x1="${margin.left}" x2="${right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/>`)}</g>
<g class="tick">${yTicks.map((tick) => html`<text x="${margin.left - 10}" y="${px(y(tick) + 4)}" text-anchor="end">${tickText(unit, tick, yTicks)}</text>`)}
${sizeTexts(xAxis.ticks).map(
  (text, place) =>
    html`<text x="${px(xAxis.x(xAxis.ticks[place] ?? 0))}" y="${bottom + 18}" text-anchor="middle">${text}</text>`,
)}</g>
<g class="axis"><line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>${xAxis.ticks.map((tick) => html`<line x1="${px(xAxis.x(tick))}" x2="${px(xAxis.x(tick))}" y1="${bottom}" y2="${bottom + 4}"/>`)}
<text x="${right}" y="${height - 6}" text-anchor="end">${isByDownload(run.search) ? "size after brotli" : "size of the file"}${xAxis.logarithmic ? " (logarithmic)" : ""} →</text>
<text x="2" y="14">${better === "higher" ? "↑" : "↓"} ${name}</text></g>
${limit !== undefined && html`<g class="goal"><line x1="${margin.left}" x2="${right}" y1="${px(y(limit))}" y2="${px(y(limit))}"/><text x="${right}" y="${px(y(limit) + (better === "higher" ? 14 : -6))}" text-anchor="end">goal</text></g>`}
${searched.map(
  ({ at, name, isOnFront, bytes: size, value }) =>
    html`<a href="#${rowId(at)}"><circle class="searched ${isOnFront ? "front" : ""}" cx="${px(xAxis.x(size))}" cy="${px(y(value))}" r="3"><title>${name}: ${bytes(size)}, ${figure(unit, value)}</title></circle></a>`,
)}
${drawnLast(points).map((point) => drawPoint(point, xAxis.x(point.bytes), y))}
${drawLabels(points, xAxis.x, y, right, bottom, Math.floor((nameShare * width) / letterWidth))}
</svg>`;
}

function pointsOf(run: Run): readonly Point[] {
  const sizeOf = comparedSize(run.search);
  const original: Point = {
    name: "original",
    kind: "original",
    bytes: sizeOf(run.original),
    value: run.original.estimate.value,
    interval: comparesWithOriginal(run) ? undefined : run.original.estimate,
    paired: undefined,
  };
  const variants = run.variants.flatMap(({ name, result, comparison, refused }, index): readonly Point[] => {
    if (result === undefined) return [];
    const kind = run.chosen === index ? "chosen" : refused === undefined ? "variant" : "refused";
    const difference = comparison?.difference;
    const base = run.original.estimate.value;
    const [least, most] = run.metric.unit === "share" ? [0, 1] : [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    const paired = difference && {
      low: Math.max(least, base + difference.low),
      high: Math.min(most, base + difference.high),
    };
    const { estimate } = result;
    return [{ name, kind, bytes: sizeOf(result), value: estimate.value, interval: estimate, paired }];
  });
  return [original, ...variants];
}

/** Candidates with a larger multiple of the allowed drop are not drawn, because they would compress the axis. */
const maxDrops = 5;

function searchedIn({ search, goal, original, metric }: Run) {
  const most = goal === undefined || goal.maxDrop === 0 ? Number.POSITIVE_INFINITY : maxDrops * goal.maxDrop;
  const sign = metric.better === "higher" ? -1 : 1;
  const sizeOf = comparedSize(search);
  return (search?.points ?? []).flatMap(({ name, bytes: raw, brotli, drop, isOnFront }, at) =>
    raw === undefined || drop === undefined || drop > most
      ? []
      : [{ at, name, isOnFront, bytes: sizeOf({ bytes: raw, brotli }), value: original.estimate.value + sign * drop }],
  );
}

function drawnLast(points: readonly Point[]): readonly Point[] {
  return points.toSorted((a, b) => Number(a.kind === "chosen") - Number(b.kind === "chosen"));
}

function goalLine({ goal, metric, original }: Run): number | undefined {
  if (goal === undefined) return undefined;
  return original.estimate.value + (metric.better === "higher" ? -goal.maxDrop : goal.maxDrop);
}

interface Axis {
  readonly x: (bytes: number) => number;
  readonly ticks: readonly number[];
  readonly logarithmic: boolean;
}

function bytesAxis(sizes: readonly number[], left: number, right: number, wanted: number): Axis {
  const [smallest, largest] = [Math.max(1, Math.min(...sizes)), Math.max(1, ...sizes)];
  if (largest / smallest <= maxLinearRatio) {
    const room = padding * (largest - smallest) || 0.1 * largest;
    const [start, end] = [Math.max(0, smallest - room), largest + room];
    return { x: linear(start, end, left, right), ticks: ticks(start, end, wanted), logarithmic: false };
  }
  const room = padding * Math.log10(largest / smallest);
  const [low, high] = [Math.log10(smallest) - room, Math.log10(largest) + room];
  const powers = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();
  const scale = linear(low, high, left, right);
  const inside = powers.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  const shown = inside.filter((tick) => inside.length <= wanted || String(tick).startsWith("1"));
  return { x: (size) => scale(Math.log10(Math.max(1, size))), ticks: shown, logarithmic: true };
}

function drawPoint({ kind, name, value, interval, paired }: Point, x: number, y: (v: number) => number): Markup {
  const vertical = (from: number, to: number, style: string): Content =>
    html`<line class="${style}" x1="${px(x)}" x2="${px(x)}" y1="${px(y(from))}" y2="${px(y(to))}"/>`;
  const cap = (at: number): Content =>
    html`<line class="own" x1="${px(x - 4)}" x2="${px(x + 4)}" y1="${px(y(at))}" y2="${px(y(at))}"/>`;
  return html`<g class="point ${kind}"><title>${name}</title>${interval !== undefined && [vertical(interval.low, interval.high, "own"), cap(interval.low), cap(interval.high)]}${paired !== undefined && vertical(paired.low, paired.high, "paired")}<circle cx="${px(x)}" cy="${px(y(value))}" r="${pointRadius}"/></g>`;
}

/** Places each name on the side of its point with more room and separates overlapping names. */
function drawLabels(
  points: readonly Point[],
  x: (bytes: number) => number,
  y: (value: number) => number,
  right: number,
  bottom: number,
  nameLength: number,
): Markup {
  const texts = points.map(({ name }) => truncate(name, nameLength));
  const xs = points.map((point) => x(point.bytes));
  const sides = points.map((_, index) => {
    const start = besideNeighbours(xs, xs[index] ?? 0, 1);
    return start + letterWidth * (texts[index]?.length ?? 0) < right ? 1 : -1;
  });
  const places = new Array<number>(points.length).fill(0);
  for (const side of [1, -1]) {
    const members = points.map((_, index) => index).filter((index) => sides[index] === side);
    const wanted = members.map((index) => y(points[index]?.value ?? 0));
    const spread = spreadOut(wanted, lineHeight, margin.top + 8, bottom - 8);
    members.forEach((index, place) => {
      places[index] = spread[place] ?? 0;
    });
  }
  return html`<g class="names">${points.map((point, index) => {
    const [own, side, place] = [xs[index] ?? 0, sides[index] ?? 1, places[index] ?? 0];
    const at = besideNeighbours(xs, own, side);
    const moved = Math.abs(place - y(point.value)) > 6 || Math.abs(at - own) > labelGap;
    return html`${moved && html`<line x1="${px(own + side * pointRadius)}" y1="${px(y(point.value))}" x2="${px(at - side * 3)}" y2="${px(place)}"/>`}<text class="${point.kind}" x="${px(at)}" y="${px(place + 4)}" text-anchor="${side === 1 ? "start" : "end"}">${texts[index]}</text>`;
  })}</g>`;
}

function besideNeighbours(xs: readonly number[], own: number, side: number): number {
  let at = own + side * labelGap;
  for (const x of xs.toSorted((a, b) => side * (a - b))) {
    const isBeyondOwn = side * (x - own) > 0;
    const wouldBeCovered = side * (at - x) > -2 * labelGap;
    if (isBeyondOwn && wouldBeCovered) at = Math.max(side * at, side * x + labelGap) * side;
  }
  return at;
}

export function truncate(name: string, length: number): string {
  return name.length > length ? `${name.slice(0, length - 1)}…` : name;
}

export function tickText(unit: Unit, tick: number, all: readonly number[]): string {
  const step = Math.abs((all[1] ?? 1) - (all[0] ?? 0));
  if (unit !== "share") return minus(String(tick));
  return minus(`${(100 * tick).toFixed(step >= 0.01 - 1e-9 ? 0 : 1)} %`);
}

/** Uses as many digits as distinguish the sizes: "1.0942 MB" and "1.0944 MB". */
function sizeTexts(sizes: readonly number[]): readonly string[] {
  const short = sizes.map((size) =>
    bytes(size)
      .replace(/\.0+ /, " ")
      .replace(/(\.\d)0 /, "$1 "),
  );
  if (new Set(short).size === sizes.length) return short;
  const [, unit = "bytes"] = bytes(Math.max(...sizes)).split(" ");
  const scale = { bytes: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit] ?? 1;
  for (let digits = 3; digits < 12; digits++) {
    const texts = sizes.map((size) => `${(size / scale).toFixed(digits)} ${unit}`);
    if (new Set(texts).size === sizes.length) return texts;
  }
  return short;
}

export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
