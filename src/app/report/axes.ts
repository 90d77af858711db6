/** Draws axes, grids and labels, and computes scales, for the charts of all pages. */
import { type Unit, withMinusSign } from "#ir";
import { type Content, html, type Markup } from "./markup.ts";

/** Size of an image, and edges of the drawing area inside it. */
export type PlotArea = Readonly<Record<"width" | "height" | "left" | "right" | "top" | "bottom", number>>;

type Margin = Pick<PlotArea, "left" | "right" | "top" | "bottom">;

export function plotAreaOf(width: number, height: number, margin: Margin): PlotArea {
  const { left, top } = margin;
  return { width, height, left, right: width - margin.right, top, bottom: height - margin.bottom };
}

export interface Axis {
  readonly scale: (value: number) => number;
  readonly ticks: readonly number[];
}

export function verticalAxis({ top, bottom }: PlotArea, low: number, high: number, count: number): Axis {
  return { scale: linearScale(low, high, bottom, top), ticks: ticksOf(low, high, count) };
}

export function drawGrid({ left, right }: PlotArea, { scale, ticks }: Axis, text: (tick: number) => string): Content {
  return html`<g class="grid">${ticks.map((tick) => lineMarkup(left, right, scale(tick), scale(tick)))}</g>
<g class="tick">${ticks.map((tick) => labelMarkup(left - 10, scale(tick) + 4, text(tick), "end"))}</g>`;
}

export function lineMarkup(x1: number, x2: number, y1: number, y2: number, name?: string): Markup {
  return html`<line${name !== undefined && html` class="${name}"`} x1="${px(x1)}" x2="${px(x2)}" y1="${px(y1)}" y2="${px(y2)}"/>`;
}

type Anchor = "start" | "middle" | "end";

export function labelMarkup(x: number, y: number, text: string, anchor: Anchor, name?: string): Markup {
  return html`<text${name !== undefined && html` class="${name}"`} x="${px(x)}" y="${px(y)}" text-anchor="${anchor}">${text}</text>`;
}

export function pathThrough(points: readonly (readonly [x: number, y: number])[]): string {
  return points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${px(x)} ${px(y)}`).join("");
}

export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** Formats a tick. A share is a percentage, with a decimal if the ticks are less than 1 % apart. */
export function tickText(unit: Unit, tick: number, [first = 0, second = 1]: readonly number[]): string {
  if (unit !== "share") return withMinusSign(String(tick));
  return withMinusSign(`${(100 * tick).toFixed(Math.abs(second - first) >= 0.01 - 1e-9 ? 0 : 1)} %`);
}

/** Returns about `count` round values (1, 2, 5 times a power of ten) between `low` and `high`. */
export function ticksOf(low: number, high: number, count: number): readonly number[] {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const minStep = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(minStep));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= minStep) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** Returns a function that maps [low, high] to [from, to] linearly. */
export function linearScale(low: number, high: number, from: number, to: number): (value: number) => number {
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

/** Returns positions that are at least `gap` apart and close to the preferred ones. */
export function spreadOut(preferred: readonly number[], gap: number, low: number, high: number): readonly number[] {
  const order = preferred.map((_, index) => index).sort((a, b) => (preferred[a] ?? 0) - (preferred[b] ?? 0));
  const clusters: { sum: number; members: number[] }[] = [];
  const startOf = ({ sum, members }: { sum: number; members: number[] }): number => {
    const centeredStart = sum / members.length - ((members.length - 1) * gap) / 2;
    return Math.max(low, Math.min(centeredStart, high - (members.length - 1) * gap));
  };
  for (const index of order) {
    let cluster = { sum: preferred[index] ?? 0, members: [index] };
    for (let last = clusters.at(-1); last !== undefined; last = clusters.at(-1)) {
      if (startOf(last) + last.members.length * gap <= startOf(cluster)) break;
      clusters.pop();
      cluster = { sum: last.sum + cluster.sum, members: [...last.members, ...cluster.members] };
    }
    clusters.push(cluster);
  }
  const positions = new Array<number>(preferred.length).fill(0);
  for (const cluster of clusters) {
    for (const [rank, index] of cluster.members.entries()) positions[index] = startOf(cluster) + rank * gap;
  }
  return positions;
}
