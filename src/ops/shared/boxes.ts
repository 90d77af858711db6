/**
 * Pooling of image boxes as primitives.
 * The mean over the samples of a bin is a product along each axis: y[i, j] = Σ Wy[i, h] · x[h, w] · Wx[j, w]. Wy[i, h] is the mean of
 * max(0, 1 - |y - h|) over the n samples y₀, y₀ + δ, … of bin i. That is the second difference, by a, of
 *     F(a) = Σ max(0, a - y₀ - kδ) = m·(a - y₀) - δ·m·(m - 1)/2     over the m samples before a
 * so n, which depends on the boxes, needs no loop. Samples at most one position outside count as the border position, others as 0.
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { fromNumbers } from "../../tensor/convert.ts";
import { typeCodes } from "../../tensor/types.ts";
import { scalar, typeOf } from "./rules.ts";

export interface BoxAxis {
  /** The start of each box in positions; a vector with one value per box. */
  readonly start: Value;
  readonly end: Value;
  readonly size: number;
  readonly bins: number;
}

const column = (emit: Emit, vector: Value): Value => emit.Unsqueeze([vector, [1]]);

function numbers(emit: Emit, like: Value, values: readonly number[]): Value {
  const type = typeOf(like) === "float64" ? "float64" : "float32";
  return emit.constant(fromNumbers(type, [values.length], values), "places");
}

const counted = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

/** boxes × bins × size: the weight of each position in the mean over `samples` points of a bin (0: one per position of the bin, rounded up). */
export function meanWeights(emit: Emit, { start, end, size, bins }: BoxAxis, samples: number): Value {
  const number = (value: number): Value => scalar(emit, typeOf(start), value);
  const bin = emit.Div([emit.Sub([end, start]), bins]);
  const n = samples > 0 ? number(samples) : column(emit, emit.Max([emit.Ceil([bin]), 0]));
  const some = samples > 0 ? n : emit.Max([n, 1]);
  // Reversed boxes are sampled from their other end.
  const step = emit.Div([column(emit, bin), some]);
  const width = emit.Max([emit.Abs([step]), 1e-20]);
  const starts = emit.Add([column(emit, start), emit.Mul([column(emit, bin), numbers(emit, start, counted(bins))])]);
  const one = emit.Add([starts, emit.Mul([step, 0.5])]);
  const other = emit.Add([one, emit.Mul([step, emit.Sub([some, 1])])]);
  const first = emit.Min([one, other]);
  const least = (value: Value): Value => emit.Max([value, 0]);
  // The number of samples before position -1, and of those up to the end.
  const before = emit.Min([least(emit.Ceil([emit.Div([emit.Sub([-1, first]), width])])), n]);
  const whole = emit.Floor([emit.Div([emit.Sub([size, first]), width])]);
  const upTo = emit.Min([least(emit.Add([whole, 1])), n]);
  const inside = column2(emit, least(emit.Sub([upTo, before])));
  const lead = column2(emit, emit.Add([first, emit.Mul([before, width])]));
  const wide = emit.Unsqueeze([width, [2]]);
  // boxes × bins × (size + 4): F at -2, -1, …, size + 1
  const ends = numbers(
    emit,
    start,
    counted(size + 4).map((at) => at - 2),
  );
  const gap = emit.Sub([ends, lead]);
  const m = emit.Min([least(emit.Ceil([emit.Div([gap, wide])])), inside]);
  const triangle = emit.Mul([emit.Mul([m, emit.Sub([m, 1])]), 0.5]);
  const sums = emit.Sub([emit.Mul([m, gap]), emit.Mul([wide, triangle])]);
  const weights = emit.MatMul([sums, secondDifferences(emit, start, size)]);
  return emit.Div([weights, samples > 0 ? n : emit.Unsqueeze([some, [2]])]);
}

const column2 = (emit: Emit, matrix: Value): Value => emit.Unsqueeze([matrix, [2]]);

/** (size + 4) × size: the weights of positions -1 and size go to the border positions. */
function secondDifferences(emit: Emit, like: Value, size: number): Value {
  const data = new Float64Array((size + 4) * size);
  for (let place = -1; place <= size; place++) {
    const kept = Math.min(size - 1, Math.max(0, place));
    for (const [offset, value] of [
      [1, 1],
      [2, -2],
      [3, 1],
    ] as const) {
      const at = (place + offset) * size + kept;
      data[at] = (data[at] ?? 0) + value;
    }
  }
  const type = typeOf(like) === "float64" ? "float64" : "float32";
  return emit.constant(fromNumbers(type, [size + 4, size], data), "differences");
}

/** boxes × bins × size: the positions in a bin; boxes × bins: whether there are any. Boxes start and end at integer positions, both inclusive. */
export function heldPlaces(
  emit: Emit,
  { start, end, size, bins }: BoxAxis,
): { readonly held: Value; readonly any: Value } {
  // Rounds halves away from 0.
  const rounded = (value: Value): Value =>
    emit.Mul([emit.Sign([value]), emit.Floor([emit.Add([emit.Abs([value]), 0.5])])]);
  const [first, last] = [rounded(start), rounded(end)];
  const length = emit.Max([emit.Add([emit.Sub([last, first]), 1]), 1]);
  const bin = column(emit, emit.Div([length, bins]));
  const clipped = (value: Value): Value => emit.Clip([value, 0, size]);
  const at = (from: number): Value =>
    emit.Mul([
      bin,
      numbers(
        emit,
        start,
        counted(bins).map((one) => one + from),
      ),
    ]);
  const from = clipped(emit.Add([emit.Floor([at(0)]), column(emit, first)]));
  const to = clipped(emit.Add([emit.Ceil([at(1)]), column(emit, first)]));
  const places = numbers(emit, start, counted(size));
  const held = emit.And([emit.GreaterOrEqual([places, column2(emit, from)]), emit.Less([places, column2(emit, to)])]);
  return { held, any: emit.Greater([to, from]) };
}

/** boxes × images: 1 for the image of the box. */
export function imageOf(emit: Emit, numbersOf: Value, count: number, like: Value): Value {
  const places = emit.constant(fromNumbers("int64", [count], counted(count)), "images");
  const same = emit.Equal([column(emit, emit.Cast([numbersOf], { to: typeCodes.int64 })), places]);
  return emit.Cast([same], { to: typeCodes[typeOf(like)] });
}
