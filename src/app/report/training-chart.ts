import { counted, figure } from "../../core/numbers.ts";
import type { StepRecord } from "../../judge/record/data.ts";
import { px, tickText } from "./chart.ts";
import { html, type Markup } from "./markup.ts";
import { linear, ticks } from "./scale.ts";

const [width, height] = [980, 220];
const margin = { top: 22, right: 62, bottom: 34, left: 62 };

interface Point {
  readonly step: number;
  readonly value: number;
}

/** Undefined for a step with fewer than two training steps. */
export function trainingChart({ curve, history }: Pick<StepRecord, "curve" | "history">): Markup | undefined {
  if (curve === undefined || curve.losses.length < 2) return undefined;
  const { first, every, by, unit = "" } = curve;
  const losses = finite(curve.losses.map((value, at) => ({ step: first + every * (at + 1), value })));
  const evaluations = finite(
    (history ?? []).flatMap(({ evaluations: of = [] }) => of.map(({ step, figure: value }) => ({ step, value }))),
  );
  const last = Math.max(first + every * curve.losses.length, ...evaluations.map(({ step }) => step));
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const x = linear(Math.min(first, ...evaluations.map(({ step }) => step)), last, margin.left, right);
  if (losses.length < 2) return undefined;
  const left = axisOf(losses, bottom);
  const other = evaluations.length === 0 ? undefined : axisOf(evaluations, bottom);
  const path = (points: readonly Point[], y: Axis["y"]): string =>
    points.map(({ step, value }, at) => `${at === 0 ? "M" : "L"}${px(x(step))} ${px(y(value))}`).join("");
  const ends = (points: readonly Point[], text: (value: number) => string): string =>
    `${text(points[0]?.value ?? Number.NaN)} → ${text(points.at(-1)?.value ?? Number.NaN)}`;
  const named = by === undefined ? "" : `validation ${by}`;
  const evaluated = other === undefined ? "" : `; ${named} ${ends(evaluations, (value) => figure(unit, value))}`;
  const title = `training loss ${ends(losses, (value) => value.toPrecision(3))} over ${counted(last, "step")}${evaluated}`;
  const stepTicks = ticks(first, last, 7).filter((tick) => Number.isInteger(tick));
  return html`<svg class="chart training" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<g class="grid">${left.ticks.map((tick) => html`<line x1="${margin.left}" x2="${right}" y1="${px(left.y(tick))}" y2="${px(left.y(tick))}"/>`)}</g>
<g class="tick">${left.ticks.map((tick) => html`<text x="${margin.left - 10}" y="${px(left.y(tick) + 4)}" text-anchor="end">${tickText("", tick, left.ticks)}</text>`)}
${other?.ticks.map((tick) => html`<text x="${right + 10}" y="${px(other.y(tick) + 4)}">${tickText(unit, tick, other.ticks)}</text>`)}
${stepTicks.map((tick) => html`<text x="${px(x(tick))}" y="${bottom + 18}" text-anchor="middle">${String(tick)}</text>`)}</g>
<g class="axis"><line x1="${margin.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/><text x="2" y="${margin.top - 8}">training loss</text>
<text x="${right}" y="${height - 2}" text-anchor="end">step →</text>${other !== undefined && html`<text class="evaluated" x="${width - 2}" y="${margin.top - 8}" text-anchor="end">${named}</text>`}</g>
<path class="loss" d="${path(losses, left.y)}"/>
${other !== undefined && html`<path class="evaluated" d="${path(evaluations, other.y)}"/>${evaluations.map(({ step, value }) => html`<circle class="evaluated" cx="${px(x(step))}" cy="${px(other.y(value))}" r="3.5"><title>after ${String(step)} steps: ${figure(unit, value)}</title></circle>`)}`}
</svg>`;
}

interface Axis {
  readonly y: (value: number) => number;
  readonly ticks: readonly number[];
}

function axisOf(points: readonly Point[], bottom: number): Axis {
  const values = points.map(({ value }) => value);
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const room = 0.06 * (most - least) || 0.05 * Math.abs(most) || 0.01;
  const [low, high] = [least - room, most + room];
  return { y: linear(low, high, bottom, margin.top), ticks: ticks(low, high, 4) };
}

function finite(points: readonly Point[]): readonly Point[] {
  return points.filter(({ value }) => Number.isFinite(value));
}
