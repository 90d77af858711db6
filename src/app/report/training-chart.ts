/** Draws the losses and evaluations of a training, for reports and other pages. */
import { counted, figureText } from "#ir";
import type { StepRecord, TrainedCurve } from "../../judge/record/run-record.ts";
import {
  type Axis,
  drawGrid,
  labelMarkup,
  linearScale,
  lineMarkup,
  type PlotArea,
  pathThrough,
  plotAreaOf,
  px,
  ticksOf,
  tickText,
  verticalAxis,
} from "./axes.ts";
import { html, type Markup } from "./markup.ts";
import { chartWidths } from "./size-chart.ts";

const margin = { top: 22, bottom: 34, left: 62 };
/** The right edge has a second axis if the training was evaluated. */
const rightMargins = { evaluated: 62, unevaluated: 14 };
const height = 220;

interface Point {
  readonly step: number;
  readonly value: number;
}

/** Returns an SVG image of a training's losses. @param width in pixels at which text keeps its size. */
export const drawTraining = (curve: TrainedCurve, width: number): string | undefined =>
  trainingChart({ curve, history: undefined }, width)?.markup;

export function trainingChart(
  { curve, history }: Pick<StepRecord, "curve" | "history">,
  width: number = chartWidths.wide,
): Markup | undefined {
  if (curve === undefined || curve.losses.length < 2) return undefined;
  const { first, every, by, unit = "" } = curve;
  const losses = finitePoints(curve.losses.map((value, index) => ({ step: first + every * (index + 1), value })));
  if (losses.length < 2) return undefined;
  const evaluations = finitePoints(
    (history ?? []).flatMap((epoch) => (epoch.evaluations ?? []).map(({ step, figure }) => ({ step, value: figure }))),
  );
  const rightMargin = rightMargins[evaluations.length > 0 ? "evaluated" : "unevaluated"];
  const frame = plotAreaOf(width, height, { ...margin, right: rightMargin });
  const { left, right, top, bottom } = frame;
  const steps = evaluations.map(({ step }) => step);
  const last = Math.max(first + every * curve.losses.length, ...steps);
  const x = linearScale(Math.min(first, ...steps), last, left, right);
  const lossAxis = axisOf(losses, frame);
  const path = (points: readonly Point[], { scale }: Axis): string =>
    pathThrough(points.map(({ step, value }) => [x(step), scale(value)]));
  const firstToLast = (points: readonly Point[], text: (value: number) => string): string =>
    `${text(points[0]?.value ?? Number.NaN)} → ${text(points.at(-1)?.value ?? Number.NaN)}`;
  const metric = by === undefined ? "" : `validation ${by}`;
  const metricEnds =
    evaluations.length === 0 ? "" : `; ${metric} ${firstToLast(evaluations, (value) => figureText(unit, value))}`;
  const title = `training loss ${firstToLast(losses, (value) => value.toPrecision(3))} over ${counted(last, "step")}${metricEnds}`;
  const stepTicks = ticksOf(first, last, Math.round(width / 140)).filter((tick) => Number.isInteger(tick));
  const drawEvaluations = (axis: Axis): Markup => html`
<g class="tick">${axis.ticks.map((tick) => labelMarkup(right + 10, axis.scale(tick) + 4, tickText(unit, tick, axis.ticks), "start"))}</g>
<g class="axis">${labelMarkup(width - 2, top - 8, metric, "end", "evaluated")}</g><path class="evaluated" d="${path(evaluations, axis)}"/>
${evaluations.map(({ step, value }) => html`<circle class="evaluated" cx="${px(x(step))}" cy="${px(axis.scale(value))}" r="3.5"><title>after ${String(step)} steps: ${figureText(unit, value)}</title></circle>`)}`;
  return html`<svg class="chart training" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${drawGrid(frame, lossAxis, (tick) => tickText("", tick, lossAxis.ticks))}
<g class="tick">${stepTicks.map((tick) => labelMarkup(x(tick), bottom + 18, String(tick), "middle"))}</g>
<g class="axis">${lineMarkup(left, right, bottom, bottom)}${labelMarkup(2, top - 8, "training loss", "start")}${labelMarkup(right, height - 2, "step →", "end")}</g>
<path class="loss" d="${path(losses, lossAxis)}"/>${evaluations.length > 0 && drawEvaluations(axisOf(evaluations, frame))}
</svg>`;
}

function axisOf(points: readonly Point[], frame: PlotArea): Axis {
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.01;
  return verticalAxis(frame, low - room, high + room, 4);
}

function finitePoints(points: readonly Point[]): readonly Point[] {
  return points.filter(({ value }) => Number.isFinite(value));
}
