/**
 * Finds the parts of an output: those that a Concat has joined, divided further by the scale of measured values. The scale shows parts that other
 * operators have joined, or that one layer computes: [price, rating].
 */
import { type Dense, type Dim, elementCount, isFloat, type Model, sameDims, toFloat64 } from "#graph";
import { RunningMeans } from "../math/running-means.ts";
import { infer } from "./infer.ts";
import { assumedScores, type OutputKind, outputKind } from "./output-kind.ts";
import { definePart, joinedParts, type OutputPart, rangeOf, selectPart } from "./output-parts.ts";

/**
 * Ratio of standard deviations above which neighboring spans have different scales. Their variances then differ by 100. If both have as many
 * values, losing the smaller one costs less than the default maximum drop of 0.01 in R². The classes of one head differ by less.
 */
const minScaleRatio = 10;
/** Maximum size of an axis whose indices can have different meanings. Longer axes count positions or entries of a vocabulary. */
const maxIndices = 1024;
/** Maximum number of columns of a table of numbers. Hidden states have more features. */
const maxColumns = 32;
/** Minimum number of values per index. Among four values of one scale, a ratio of `minScaleRatio` has a probability of about 0.2 %. */
const minValues = 4;
/** Share of the mean square that rounding can explain. An index with less variance is constant and has no scale. */
const roundingShare = 1e-12;

/**
 * Returns the parts of an output, at least one. Embeddings have one part. Class scores are divided by a Concat only, because the scores of rare
 * classes can have any scale. If nothing but its shape shows that an output contains class scores, it has several parts only if their scales differ.
 * @param values the original's output on some samples. Without values, only the graph decides.
 */
export function outputPartsOf(model: Model, name: string, values: readonly Dense[] = []): readonly OutputPart[] {
  const inference = infer(model);
  const output = model.graph.outputs.find((value) => value.name === name);
  const wholeOutput = definePart(name, new Map(), output && rangeOf(output, inference));
  const kind = outputKind(model, name);
  if (output === undefined || kind === "vector") return [wholeOutput];
  const joined = joinedParts(model, inference).get(output) ?? [wholeOutput];
  const isMeasured = values.length > 0 && canHaveScales(model, name, values);
  const dims = inference.operand(output)?.dims ?? [];
  const axes = isMeasured ? columnAxes(dims, kind).filter((axis) => typeof dims[axis] === "number") : [];
  const isAssumed = assumedScores(model, name) !== undefined;
  const divide = (part: OutputPart) => divideByScale(name, part, axes, values, kind === "number" ? maxColumns : 0);
  if (isAssumed && divide(wholeOutput).length < 2) return [wholeOutput];
  return joined.flatMap(divide);
}

/** Returns the axes whose indices can have different meanings: those of channels, and not those of positions in an image. */
function columnAxes(dims: readonly Dim[], kind: OutputKind): readonly number[] {
  const [, first = 0, second, third = 0] = dims;
  if (kind === "image") return [1, 3].filter((axis) => dims[axis] === 1 || dims[axis] === 3);
  if (dims.length !== 4) return [...dims.keys()];
  if (second === third) return [1];
  if (first === second) return [3];
  return third < first ? [1, 3] : [1];
}

/** Returns whether the scales of an output can show parts. Values of one saturating operator have one scale, and so have shares of classes. */
export function canHaveScales(model: Model, name: string, values: readonly Dense[] = []): boolean {
  const kind = outputKind(model, name);
  if (kind === "number" || kind === "image" || kind === "detections") return true;
  const output = assumedScores(model, name);
  if (kind !== "classes" || output === undefined || rangeOf(output, infer(model)) !== undefined) return false;
  const areShares = (dense: Dense): boolean =>
    dense.type !== "string" && toFloat64(dense).every((value) => value >= 0 && value <= 1);
  return values.length === 0 || !values.every(areShares);
}

/** @param axes axes of fixed size. @param columns maximum size of an axis whose indices are columns of a table, in any order. */
function divideByScale(
  name: string,
  part: OutputPart,
  axes: readonly number[],
  values: readonly Dense[],
  columns: number,
): readonly OutputPart[] {
  if (axes.length === 0) return [part];
  const selected = values.map((dense) => selectPart(dense, part));
  const sizes = selected[0]?.dims.slice(1) ?? [];
  if (!selected.every(({ type, dims }) => isFloat(type) && sameDims(dims.slice(1), sizes))) return [part];
  const statistics = positionStatistics(selected, elementCount(sizes));
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

/** Returns the standard deviation of each index of an axis; 0 for a constant index. Returns none if there are too few values, or NaN among them. */
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
 * Returns the indices of each scale, in the order of their first ones. Scales belong together unless a gap of `minScaleRatio` separates them in
 * ascending order. A constant index belongs to the scale before it. If indices of two scales alternate, they are one span, such as a class that no
 * sample has among classes that samples have. Columns of a table stay separate, and so do repeated records: x, y, score, x, y, score.
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
