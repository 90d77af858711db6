/** Draws file or download size against metric. Thin lines are intervals of the metric, thick lines those of the paired difference. A name without room at its point is a number, and stands below the axis. */
import { bytes, figureText, type Unit } from "#ir";
import type { Run } from "../../judge/record/run-record.ts";
import { comparesWithOriginal } from "../../judge/record/verdict.ts";
import {
  type Axis,
  drawGrid,
  labelMarkup,
  linearScale,
  lineMarkup,
  type PlotArea,
  plotAreaOf,
  px,
  spreadOut,
  ticksOf,
  tickText,
  verticalAxis,
} from "./axes.ts";
import { html, type Markup } from "./markup.ts";
import { comparedSizeOf, isByDownload, rowId } from "./search-table.ts";

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface SizePoint {
  readonly name: string;
  /** Text next to the point (default: the name). */
  readonly label?: string;
  readonly kind: "original" | "chosen" | "variant" | "rejected";
  readonly bytes: number;
  readonly value: number;
  readonly interval?: Interval | undefined;
  /** Confidence interval of the paired difference from the original, added to the original's value. */
  readonly paired?: Interval | undefined;
}

interface SearchedSize extends Pick<SizePoint, "name" | "bytes" | "value"> {
  readonly isOnFront: boolean;
  /** Id of the element on the page that describes the candidate. */
  readonly row: string | undefined;
}

/** Points and intervals that are not finite are left out. */
export interface SizeDrawing {
  readonly metric: Pick<Run["metric"], "name" | "unit" | "better">;
  readonly points: readonly SizePoint[];
  /** Runs whose searches are drawn as small points, at their differences from the original's point. */
  readonly runs?: readonly Pick<Run, "search" | "goal">[];
  /** Value of the metric that candidates must reach. */
  readonly goal: number | undefined;
  /** Bytes that are only estimated, shown as a vertical line. */
  readonly estimate?: number | undefined;
  /** Whether bytes are those after brotli. */
  readonly isByDownload?: boolean;
  /** Pixels. Text keeps its size if the image is shown with this width. */
  readonly width: number;
  readonly height?: number;
}

/** Widths in chart units, for screens and for phones. */
export const chartWidths = { wide: 980, narrow: 440 } as const;

const margin = { top: 34, right: 20, bottom: 44, left: 62 };
const pointRadius = 4.5;
const lineHeight = 17;
/** Ratio of the largest to the smallest size above which the size axis is logarithmic. */
const maxLinearRatio = 2;
const padding = 0.12;
const letterWidth = 7.2;
const nameShare = 0.22;
const labelGap = 12;
/** Maximum drop of drawn candidates, as a multiple of the allowed drop. */
const maxDrops = 5;

export function drawRunChart(run: Run, width: number): Markup {
  const { metric, goal, original } = run;
  const drawing = {
    metric,
    points: pointsOf(run),
    runs: [run],
    goal: goal && original.estimate.value + (metric.better === "higher" ? -1 : 1) * goal.maxDrop,
    isByDownload: isByDownload(run.search),
    width,
  };
  return drawChart(drawing, rowId);
}

/** Returns an SVG image of sizes against a metric, styled by the page. */
export const drawSizes = (drawing: SizeDrawing): string => drawChart(drawing).markup;

function drawChart(drawing: SizeDrawing, rowOf?: (index: number) => string): Markup {
  const { metric, width } = drawing;
  const [goal, estimate] = [drawing.goal, drawing.estimate].map((value) =>
    Number.isFinite(value) ? value : undefined,
  );
  const searchedPoints = selectSearched(drawing, rowOf).filter(isFinitePoint);
  const points = drawing.points
    .filter(isFinitePoint)
    .map(({ interval, paired, ...point }) => ({
      ...point,
      interval: finiteInterval(interval),
      paired: finiteInterval(paired && withinUnit(metric, paired)),
    }));
  const frame = plotAreaOf(width, drawing.height ?? 400, margin);
  const { height, left, right, top, bottom } = frame;
  const { name, unit, better } = metric;
  const values = [
    ...searchedPoints.map(({ value }) => value),
    ...points.flatMap(({ value, interval, paired }) => [
      value,
      ...[interval, paired].flatMap((each) => (each === undefined ? [] : [each.low, each.high])),
    ]),
    ...(goal === undefined ? [] : [goal]),
  ];
  const [lowest, highest] = values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
  const room = 0.06 * (highest - lowest) || 0.01;
  const { low, high } = withinUnit(metric, { low: lowest - room, high: highest + room });
  const yAxis = verticalAxis(frame, low, high, 5);
  const y = yAxis.scale;
  const sizes = [...points, ...searchedPoints].map((point) => point.bytes).concat(estimate ?? []);
  const xAxis = bytesAxis(sizes, frame, Math.round(width / 140));
  const x = xAxis.scale;
  const size = drawing.isByDownload
    ? { axis: "size after brotli", title: "bytes after brotli" }
    : { axis: "size of the file", title: "bytes" };
  const texts = drawing.points.map((point) => `${point.name} ${bytes(point.bytes)}, ${figureText(unit, point.value)}`);
  const title = `${name} against ${size.title}: ${texts.join("; ")}`;
  const chosenLast = points.toSorted((a, b) => Number(a.kind === "chosen") - Number(b.kind === "chosen"));
  const listedPoints = points
    .filter((point) => labelOf(point).length > maxLabelLength(width))
    .toSorted((a, b) => a.bytes - b.bytes);
  const lines = listedPoints.flatMap(({ name, kind }, index) =>
    wrapText(`${index + 1}  ${name}`, width).map((text) => ({ text, kind })),
  );
  const labeledPoints = points.map((point) => ({
    ...point,
    label: listedPoints.includes(point) ? String(listedPoints.indexOf(point) + 1) : labelOf(point),
  }));
  // An image cannot contain links.
  const role = searchedPoints.some(({ row }) => row !== undefined) ? "group" : "img";
  return html`<svg class="chart ${width === chartWidths.narrow ? "narrow" : "broad"}" viewBox="0 0 ${width} ${height + (lines.length > 0 ? 8 : 0) + lineHeight * lines.length}" role="${role}" aria-label="${title}">
${drawGrid(frame, yAxis, (tick) => tickText(unit, tick, yAxis.ticks))}
<g class="tick">${sizeTexts(xAxis.ticks).map((text, index) => labelMarkup(x(xAxis.ticks[index] ?? 0), bottom + 18, text, "middle"))}</g>
<g class="axis">${lineMarkup(left, right, bottom, bottom)}${xAxis.ticks.map((tick) => lineMarkup(x(tick), x(tick), bottom, bottom + 4))}
${labelMarkup(right, height - 6, `${size.axis}${xAxis.isLogarithmic ? " (logarithmic)" : ""} →`, "end")}
${labelMarkup(2, top - 20, `${better === "higher" ? "↑" : "↓"} ${name}`, "start")}</g>
${estimate !== undefined && html`<g class="estimate">${lineMarkup(x(estimate), x(estimate), top, bottom)}</g>`}
${goal !== undefined && html`<g class="goal">${lineMarkup(left, right, y(goal), y(goal))}${labelMarkup(right, y(goal) + (better === "higher" && y(goal) + 20 < bottom ? 14 : -6), "goal", "end")}</g>`}
${searchedPoints.map((point) => drawSearched(point, unit, x(point.bytes), y(point.value)))}
${chosenLast.map((point) => drawPoint(point, x(point.bytes), y))}
${drawLabels(labeledPoints, x, y, frame)}
${lines.length > 0 && html`<g class="names">${lines.map(({ text, kind }, index) => labelMarkup(2, height + 4 + lineHeight * (index + 1), text, "start", kind))}</g>`}
</svg>`;
}

function pointsOf(run: Run): readonly SizePoint[] {
  const sizeOf = comparedSizeOf(run.search);
  const { estimate: base } = run.original;
  const original: SizePoint = {
    name: "original",
    kind: "original",
    bytes: sizeOf(run.original),
    value: base.value,
    interval: comparesWithOriginal(run) ? undefined : base,
  };
  const variants = run.variants.flatMap(({ name, result, comparison, rejected }, index): readonly SizePoint[] => {
    if (result === undefined) return [];
    const kind = run.chosen === index ? "chosen" : rejected === undefined ? "variant" : "rejected";
    const { low, high } = comparison?.difference ?? {};
    const paired =
      low === undefined || high === undefined ? undefined : { low: base.value + low, high: base.value + high };
    return [{ name, kind, bytes: sizeOf(result), value: result.estimate.value, interval: result.estimate, paired }];
  });
  return [original, ...variants];
}

const isFinitePoint = ({ bytes, value }: Pick<SizePoint, "bytes" | "value">): boolean =>
  Number.isFinite(bytes) && Number.isFinite(value);

const finiteInterval = (interval: Interval | undefined): Interval | undefined =>
  interval !== undefined && Number.isFinite(interval.high - interval.low) ? interval : undefined;

function withinUnit({ unit }: Pick<Run["metric"], "unit">, { low, high }: Interval): Interval {
  return unit === "share" ? { low: Math.max(0, low), high: Math.min(1, high) } : { low, high };
}

/** Returns the candidates of searches whose drop is not too large for the chart. */
function selectSearched(
  { runs = [], points, metric, isByDownload }: SizeDrawing,
  rowOf?: (index: number) => string,
): readonly SearchedSize[] {
  const original = points.find(({ kind }) => kind === "original")?.value ?? Number.NaN;
  const sign = metric.better === "higher" ? -1 : 1;
  return runs.flatMap(({ search, goal }) => {
    const maxDrop = goal === undefined || goal.maxDrop === 0 ? Number.POSITIVE_INFINITY : maxDrops * goal.maxDrop;
    return (search?.points ?? []).flatMap(({ name, bytes, brotli = bytes, drop, isOnFront }, index) => {
      const size = isByDownload ? brotli : bytes;
      if (size === undefined || drop === undefined || drop > maxDrop) return [];
      return [{ row: rowOf?.(index), name, isOnFront, bytes: size, value: original + sign * drop }];
    });
  });
}

interface BytesAxis extends Axis {
  readonly isLogarithmic: boolean;
}

function bytesAxis(sizes: readonly number[], { left, right }: PlotArea, count: number): BytesAxis {
  const largest = Math.max(1, ...sizes);
  const smallest = Math.max(1, Math.min(largest, ...sizes));
  if (largest / smallest <= maxLinearRatio) {
    const room = padding * (largest - smallest) || 0.1 * largest;
    const [start, end] = [Math.max(0, smallest - room), largest + room];
    return { scale: linearScale(start, end, left, right), ticks: ticksOf(start, end, count), isLogarithmic: false };
  }
  const room = padding * Math.log10(largest / smallest);
  const [low, high] = [Math.log10(smallest) - room, Math.log10(largest) + room];
  const powers = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();
  const scale = linearScale(low, high, left, right);
  const visibleTicks = powers.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  const shownTicks = visibleTicks.filter((tick) => visibleTicks.length <= count || String(tick).startsWith("1"));
  return { scale: (size) => scale(Math.log10(Math.max(1, size))), ticks: shownTicks, isLogarithmic: true };
}

function drawSearched(searchedSize: SearchedSize, unit: Unit, x: number, y: number): Markup {
  const { name, bytes: size, value, isOnFront, row } = searchedSize;
  const point = html`<circle class="searched ${isOnFront ? "front" : ""}" cx="${px(x)}" cy="${px(y)}" r="3"><title>${name}: ${bytes(size)}, ${figureText(unit, value)}</title></circle>`;
  return row === undefined ? point : html`<a href="#${row}">${point}</a>`;
}

function drawPoint({ kind, name, value, interval, paired }: SizePoint, x: number, y: Axis["scale"]): Markup {
  const cap = (end: number): Markup => lineMarkup(x - 4, x + 4, y(end), y(end), "own");
  const intervalLine = interval && [
    lineMarkup(x, x, y(interval.low), y(interval.high), "own"),
    cap(interval.low),
    cap(interval.high),
  ];
  const pairedLine = paired && lineMarkup(x, x, y(paired.low), y(paired.high), "paired");
  return html`<g class="point ${kind}"><title>${name}</title>${intervalLine}${pairedLine}<circle cx="${px(x)}" cy="${px(y(value))}" r="${pointRadius}"/></g>`;
}

const labelOf = ({ name, label = name }: SizePoint): string => label;
const maxLabelLength = (width: number): number => Math.floor((nameShare * width) / letterWidth);

/** Returns lines of at most `width` pixels, if no word is longer. */
function wrapText(text: string, width: number): readonly string[] {
  const pattern = new RegExp(`(?:^|\\s)(.{1,${Math.max(1, Math.floor(width / letterWidth))}}|\\S+)(?=\\s|$)`, "g");
  return [...text.matchAll(pattern)].map(([, line = ""]) => line);
}

/** Draws each label next to its point, and separates overlapping labels. */
function drawLabels(
  points: readonly (SizePoint & { readonly label: string })[],
  x: (bytes: number) => number,
  y: (value: number) => number,
  { right, top, bottom }: PlotArea,
): Markup {
  const xs = points.map((point) => x(point.bytes));
  const labels = points.map(({ label: text, kind, value, bytes }) => {
    const start = findFreeX(xs, x(bytes), 1);
    const length = letterWidth * text.length;
    const side = start + length < right ? 1 : -1;
    const labelX = side === 1 ? start : findFreeX(xs, x(bytes), -1);
    return { text, kind, side, x: x(bytes), y: y(value), labelX, from: side === 1 ? labelX : labelX - length, length };
  });
  const columns: (typeof labels)[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const each of labels.toSorted((a, b) => a.from - b.from)) {
    if (each.from >= end) columns.push([]);
    columns.at(-1)?.push(each);
    end = Math.max(end, each.from + each.length);
  }
  const placedLabels = columns.flatMap((members) => {
    const preferredYs = members.map((each) => each.y);
    const ys = spreadOut(preferredYs, lineHeight, top + 8, bottom - 8);
    return members.map((each, index) => ({ ...each, labelY: ys[index] ?? 0 }));
  });
  return html`<g class="names">${placedLabels.map(({ text, kind, side, x, y, labelX, labelY }) => {
    const isMoved = Math.abs(labelY - y) > 6 || Math.abs(labelX - x) > labelGap;
    return html`${isMoved && lineMarkup(x + side * pointRadius, labelX - side * 3, y, labelY)}${labelMarkup(labelX, labelY + 4, text, side === 1 ? "start" : "end", kind)}`;
  })}</g>`;
}

/** Returns the horizontal start of a label that does not cover other points on its side. */
function findFreeX(xs: readonly number[], pointX: number, side: number): number {
  let start = pointX + side * labelGap;
  for (const x of xs.toSorted((a, b) => side * (a - b))) {
    const isOnSide = side * (x - pointX) > 0;
    const isCovered = side * (start - x) > -2 * labelGap;
    if (isOnSide && isCovered) start = Math.max(side * start, side * x + labelGap) * side;
  }
  return start;
}

/** Formats sizes with as many digits as distinguish them: "1.0942 MB" and "1.0944 MB". */
function sizeTexts(sizes: readonly number[]): readonly string[] {
  const shortTexts = sizes.map((size) =>
    bytes(size)
      .replace(/\.0+ /, " ")
      .replace(/(\.\d)0 /, "$1 "),
  );
  if (new Set(shortTexts).size === sizes.length) return shortTexts;
  const [, unit = "bytes"] = bytes(Math.max(...sizes)).split(" ");
  const scale = { bytes: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit] ?? 1;
  for (let digits = 3; digits < 12; digits++) {
    const texts = sizes.map((size) => `${(size / scale).toFixed(digits)} ${unit}`);
    if (new Set(texts).size === sizes.length) return texts;
  }
  return shortTexts;
}
