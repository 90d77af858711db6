/** Finds the parts of an output: those that a Concat has joined, divided further where measured values differ in scale: [price, rating]. */
import { type Dense, type Dim, elementCount, isFloat, type Model, sameDims, toFloat64 } from "#graph";
import { RunningMeans } from "../math/running-means.ts";
import { infer } from "./infer.ts";
import { assumedScores, type OutputKind, outputKind } from "./output-kind.ts";
import { definePart, joinedParts, type OutputPart, rangeOf, selectPart } from "./output-parts.ts";

/**
 * Returns the parts of an output, at least one. Class scores are divided by a Concat only, because scores of rare classes can have any scale.
 * @param values the original's output on some samples. Without values, only the graph decides.
 */
export function outputPartsOf(model: Model, name: string, values: readonly Dense[] = []): readonly OutputPart[] {
  const inference = infer(model);
  const output = model.graph.outputs.find((value) => value.name === name);
  const wholeOutput = definePart(name, new Map(), output && rangeOf(output, inference));
  const kind = outputKind(model, name);
  if (output === undefined || kind === "vector") return [wholeOutput];
  const outputParts = joinedParts(model, inference).get(output) ?? [wholeOutput];
  const isMeasured = values.length > 0 && canHaveScales(model, name, values);
  const dims = inference.operand(output)?.dims ?? [];
  const axes = isMeasured ? columnAxes(dims, kind).filter((axis) => typeof dims[axis] === "number") : [];
  const isAssumed = assumedScores(model, name) !== undefined;
  const divide = (part: OutputPart) => divideByScale(name, part, axes, values, kind === "number" ? maxColumns : 0);
  if (isAssumed && divide(wholeOutput).length < 2) return [wholeOutput];
  return outputParts.flatMap(divide);
}

/** Returns the axes whose indices can have different meanings, such as channels. */
function columnAxes(dims: readonly Dim[], kind: OutputKind): readonly number[] {
  const [, first = 0, second, third = 0] = dims;
  if (kind === "image") return [1, 3].filter((axis) => dims[axis] === 1 || dims[axis] === 3);
  if (dims.length !== 4) return [...dims.keys()];
  if (second === third) return [1];
  if (first === second) return [3];
  return third < first ? [1, 3] : [1];
}

/** Returns whether the scales of an output can show parts. */
export function canHaveScales(model: Model, name: string, values: readonly Dense[] = []): boolean {
  const kind = outputKind(model, name);
  if (kind === "number" || kind === "image" || kind === "detections") return true;
  const output = assumedScores(model, name);
  if (kind !== "classes" || output === undefined || rangeOf(output, infer(model)) !== undefined) return false;
  const areShares = (dense: Dense): boolean =>
    dense.type !== "string" && toFloat64(dense).every((value) => value >= 0 && value <= 1);
  return values.length === 0 || !values.every(areShares);
}

/** Ratio of standard deviations above which neighboring spans have different scales. */
const minScaleRatio = 10;
/** Maximum size of an axis whose indices can have different meanings. */
const maxIndices = 1024;
/** Maximum size of an axis of numbers whose indices count as columns: columns of one scale form a part even if they are not adjacent. */
const maxColumns = 32;
/** Minimum number of values per index, because few values can differ by chance. */
const minValues = 4;
/** Share of the mean square that rounding can explain. */
const roundingShare = 1e-12;

function divideByScale(
  name: string,
  part: OutputPart,
  axes: readonly number[],
  values: readonly Dense[],
  columns: number,
): readonly OutputPart[] {
  if (axes.length === 0) return [part];
  const selectedValues = values.map((dense) => selectPart(dense, part));
  const sizes = selectedValues[0]?.dims.slice(1) ?? [];
  if (!selectedValues.every(({ type, dims }) => isFloat(type) && sameDims(dims.slice(1), sizes))) return [part];
  const statistics = positionStatistics(selectedValues, elementCount(sizes));
  for (const axis of axes) {
    const size = sizes[axis - 1] ?? 0;
    if (part.indices.has(axis) || size < 2 || size > maxIndices) continue;
    const deviations = deviationsAlong(statistics, size, elementCount(sizes.slice(axis)));
    const scales = indicesByScale(deviations, size <= columns);
    if (scales.length < 2) continue;
    return scales.map((indices) => definePart(name, new Map([...part.indices, [axis, indices]]), part.range));
  }
  return [part];
}

interface Statistics {
  readonly samples: number;
  /** Mean and Σ (x − mean)² of each position of a sample. */
  readonly means: Float64Array;
  readonly squares: Float64Array;
}

function positionStatistics(values: readonly Dense[], width: number): Statistics {
  const [running, squares] = [new RunningMeans(width), new Float64Array(width)];
  let samples = 0;
  for (const dense of values) {
    const numbers = toFloat64(dense);
    for (let start = 0; start + width <= numbers.length && width > 0; start += width) {
      samples++;
      for (let position = 0; position < width; position++)
        squares[position] = (squares[position] ?? 0) + running.add(position, numbers[start + position] ?? 0);
    }
  }
  return { samples, means: running.means, squares };
}

/** Returns the standard deviation of each index of an axis. Returns none if there are too few values, or NaN among them. */
function deviationsAlong({ samples, means, squares }: Statistics, size: number, inner: number): readonly number[] {
  const count = (samples * means.length) / size;
  if (samples < 2 || count < minValues) return [];
  const [variations, powers] = [new Float64Array(size), new Float64Array(size)];
  for (const [position, square] of squares.entries()) {
    const index = Math.floor(position / inner) % size;
    variations[index] = (variations[index] ?? 0) + square;
    powers[index] = (powers[index] ?? 0) + square + samples * (means[position] ?? 0) ** 2;
  }
  if (!powers.every(Number.isFinite)) return [];
  return Array.from(variations, (variation, index) =>
    variation > roundingShare * (powers[index] ?? 0) ? Math.sqrt(variation / count) : 0,
  );
}

/**
 * Returns the indices of each scale, in the order of their first ones. A gap of `minScaleRatio` in ascending order separates two scales.
 * A constant index belongs to the scale before it. Alternating scales are one span, unless the indices are columns or repeat.
 */
function indicesByScale(deviations: readonly number[], areColumns: boolean): readonly (readonly number[])[] {
  const ascending = [...deviations.entries()]
    .filter(([, deviation]) => deviation > 0)
    .toSorted(([, a], [, b]) => a - b);
  const scales = new Map<number, number>();
  const lastIndices: number[] = [];
  let previous = 0;
  for (const [index, deviation] of ascending) {
    if (deviation > minScaleRatio * previous) lastIndices.push(-1);
    const scale = lastIndices.length - 1;
    scales.set(index, scale);
    lastIndices[scale] = Math.max(lastIndices[scale] ?? -1, index);
    previous = deviation;
  }
  const size = deviations.length;
  const hasPeriod = (period: number): boolean =>
    deviations.every((_, index) => scales.get(index) === scales.get(index % period));
  const isRepeated = deviations.some(
    (_, period) => period > 1 && 2 * period <= size && size % period === 0 && hasPeriod(period),
  );
  const parts = new Map<number, number[]>();
  let [part, end] = [scales.get(Math.min(...scales.keys())) ?? 0, -1];
  for (const index of deviations.keys()) {
    const scale = scales.get(index) ?? part;
    if (areColumns || isRepeated || index > end) part = scale;
    end = Math.max(end, lastIndices[scale] ?? -1);
    parts.set(part, [...(parts.get(part) ?? []), index]);
  }
  return [...parts.values()];
}
