/**
 * Rotates the channels of a residual stream. With an orthogonal Q that preserves means (`orthogonalFactors`), a model computes the same on x · Q, if
 *      writers of the stream          W · Q,  b · Q
 *      a normalization over it        x / rms(x), (x - mean(x)) / std(x):  the same length, so x̂ · Q
 *      readers                        Qᵀ · W
 * and the scales of normalizations were moved into the weights that read them (`migrate`). An outlier in one channel becomes a small part of all
 * (Ashkboos et al. 2024, arXiv 2404.00456; Liu et al. 2024, arXiv 2405.16406). If anything else depends on individual channels, such as an activation
 * or a normalization that keeps its scale, the outputs differ. So callers compare the outputs.
 */
import { channelGroups, type Inference, type ScaleGroup, type Slice, scaleGroups } from "#analysis";
import type { Model, Random, Value } from "#ir";
import { alongAxis, fixedDims, groupBy, isFloat, Miss, random, toFloats } from "#ir";
import { type Matrix, matrix } from "../../../core/math/matrix.ts";
import { axpy, dot } from "../../../core/math/vector.ts";
import { migrate, rewriteOnRead } from "../../../rewrite/edit/migrate.ts";

/** A residual stream: channels that normalizations couple. */
export interface Stream {
  readonly units: number;
  readonly name: string;
  /** The scale vector of each normalization, with the group through which it moves into the weights that read it. */
  readonly scales: ReadonlyMap<Value, ScaleGroup>;
  readonly slices: readonly Slice[];
}

/** Returns the streams of the main graph whose channels are all in stored tensors and that the graph allows to rotate. */
export function rotationStreams(model: Model, inference: Inference): readonly Stream[] {
  const refusedSlices = channelGroups(model, inference).flatMap(({ refused, slices }) =>
    refused.size > 0 ? slices : [],
  );
  const normGroups = channelGroups(model, inference, { throughNorms: true }).filter(
    ({ refused, slices }) =>
      refused.size === 0 &&
      refusedSlices.some((slice) => slices.some(({ value, axis }) => value === slice.value && axis === slice.axis)),
  );
  if (normGroups.length === 0) return [];
  const groups = scaleGroups(model, inference);
  return normGroups.flatMap(({ units, slices }): readonly Stream[] => {
    const storedSlices = slices.filter(({ value }) => value.tensor !== undefined && isFloat(value.tensor.type));
    if (storedSlices.some(({ unitOf }) => !isPermutation(unitOf, units))) return [];
    const scales = new Map<Value, ScaleGroup>();
    const rotated: Slice[] = [];
    for (const slice of storedSlices) {
      if (!isScale(slice.value, inference)) {
        rotated.push(slice);
        continue;
      }
      const group = groups.find((candidate) =>
        candidate.slices.some(({ value, power }) => value === slice.value && power === 1),
      );
      if (group === undefined || group.refused.size > 0) return [];
      scales.set(slice.value, group);
    }
    const [name] = scales.keys();
    return name === undefined ? [] : [{ units, name: name.name, scales, slices: rotated }];
  });
}

const isPermutation = (unitOf: Int32Array, units: number): boolean =>
  unitOf.length === units && new Set(unitOf).size === units && !unitOf.includes(-1);

const isScale = (value: Value, inference: Inference): boolean =>
  fixedDims(value.type?.dims)?.length === 1 &&
  [...value.uses].some(({ node, input }) => inference.facet(node, "scales")?.includes(input) === true);

/** Rotates a stream in place; returns a Miss without changes if a scale cannot move into its readers. */
export async function rotate(model: Model, stream: Stream, seed: number): Promise<Miss | undefined> {
  const migrations: (readonly [ScaleGroup, Float64Array])[] = [];
  for (const [value, group] of stream.scales) {
    const numbers = value.tensor === undefined ? [] : toFloats(await value.tensor.read());
    if (!numbers.every((number) => number > 0)) return new Miss("not all of its scales are above 0", value.name);
    const unitOf = group.slices.find((slice) => slice.value === value)?.unitOf ?? [];
    const factors = new Float64Array(group.units).fill(1);
    unitOf.forEach((unit, index) => {
      factors[unit] = 1 / (numbers[index] ?? 1);
    });
    migrations.push([group, factors]);
  }
  for (const [group, factors] of migrations) await migrate(model, group, factors);
  const factors = orthogonalFactors(stream.units, random(seed, "rotation", stream.name));
  for (const [value, slices] of groupBy(stream.slices, (slice) => slice.value)) {
    const { tensor } = value;
    if (tensor === undefined) continue;
    value.tensor = await rewriteOnRead(tensor, (numbers) => {
      for (const { axis, unitOf } of slices) multiplyAlong(numbers, tensor.dims, axis, factors, positionsOf(unitOf));
    });
  }
  model.graph.touch();
  return undefined;
}

function positionsOf(unitOf: Int32Array): Uint32Array {
  const positions = new Uint32Array(unitOf.length);
  for (const [position, unit] of unitOf.entries()) positions[unit] = position;
  return positions;
}

const hadamard4 = matrix(
  4,
  4,
  Float64Array.from({ length: 16 }, (_, at) => (at % 5 === 0 ? -0.5 : 0.5)),
);

/**
 * Returns the Kronecker factors of a random orthogonal Q with Q · 1 = 1, outermost first. The size of the last factor is what remains of `size` after
 * division by 4. Factors of size 4 are ½ J − I with J all ones. This is a Hadamard matrix, so each entry spreads over four with equal magnitude. The
 * remaining factor of size r is random: Σ bᵢ cᵢᵀ for two orthonormal bases that start with 1 / √r.
 */
export function orthogonalFactors(size: number, source: Random): readonly Matrix[] {
  const factors: Matrix[] = [];
  let remainingSize = size;
  // Size 8 is not divided into 4 · 2: for size 2, only the identity and the exchange of both entries preserve means.
  while (remainingSize % 4 === 0 && remainingSize !== 8) {
    factors.push(hadamard4);
    remainingSize /= 4;
  }
  return remainingSize === 1 ? factors : [...factors, randomOrthogonal(remainingSize, source)];
}

function randomOrthogonal(size: number, source: Random): Matrix {
  const [leftBasis, rightBasis] = [basis(size, source), basis(size, source)];
  const sum = matrix(size, size);
  for (let vector = 0; vector < size; vector++)
    for (let row = 0; row < size; row++)
      axpy(leftBasis[vector * size + row] ?? 0, rightBasis, vector * size, sum.data, row * size, size);
  return sum;
}

/** Returns an orthonormal basis as rows, the first of which has equal entries. Random vectors are orthogonalized twice for accuracy. */
function basis(size: number, source: Random): Float64Array {
  const rows = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const at = row * size;
    for (let entry = 0; entry < size; entry++) rows[at + entry] = row === 0 ? 1 : source.normal();
    for (let pass = 0; pass < 2; pass++) {
      for (let other = 0; other < row; other++)
        axpy(-dot(rows, at, rows, other * size, size), rows, other * size, rows, at, size);
      const length = Math.sqrt(dot(rows, at, rows, at, size));
      for (let entry = 0; entry < size; entry++) rows[at + entry] = (rows[at + entry] ?? 0) / length;
    }
  }
  return rows;
}

/**
 * Multiplies the vectors x along an axis by the Kronecker product Q, in place: y[j] = Σ x[i] · Q[i, j].
 * @param order The index along the axis of each entry of x, if the entries are permuted.
 */
export function multiplyAlong(
  numbers: Float64Array,
  dims: readonly number[],
  axis: number,
  factors: readonly Matrix[],
  order?: ArrayLike<number>,
): void {
  const { outer, count, inner } = alongAxis(dims, axis);
  const vector = new Float64Array(count);
  for (let outerIndex = 0; outerIndex < outer; outerIndex++)
    for (let innerIndex = 0; innerIndex < inner; innerIndex++) {
      const indexOf = (entry: number): number => (outerIndex * count + (order?.[entry] ?? entry)) * inner + innerIndex;
      for (let entry = 0; entry < count; entry++) vector[entry] = numbers[indexOf(entry)] ?? 0;
      multiplyVector(vector, factors);
      for (let entry = 0; entry < count; entry++) numbers[indexOf(entry)] = vector[entry] ?? 0;
    }
}

function multiplyVector(vector: Float64Array, factors: readonly Matrix[]): void {
  let stride = vector.length;
  for (const { rows: size, data } of factors) {
    const part = new Float64Array(size);
    const block = stride;
    stride /= size;
    for (let begin = 0; begin < vector.length; begin += block)
      for (let at = begin; at < begin + stride; at++) {
        part.fill(0);
        for (let row = 0; row < size; row++) axpy(vector[at + row * stride] ?? 0, data, row * size, part, 0, size);
        for (let row = 0; row < size; row++) vector[at + row * stride] = part[row] ?? 0;
      }
  }
}
