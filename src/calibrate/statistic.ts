/** What is collected of values over samples, batch by batch: memory does not depend on how many samples there are. */
import { PithError } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Matrix, type Multiply, matrix } from "../math/index.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { alongAxis, elementCount } from "../tensor/dims.ts";
import { type Dense, typeCodes } from "../tensor/types.ts";

/**
 * A statistic of values, as `observe` and `Calibration` collect it. Whatever it needs of a batch it takes in `add`.
 * @example
 * import type { Statistic } from "pith/calibrate";
 * const rows: Statistic<number> = {
 *   begin() {
 *     let sum = 0;
 *     return { add: (batch) => void (sum += batch.rows), end: () => sum };
 *   },
 * };
 * await observe(engine, model, calibration, ["conv1.out"], rows);
 */
export interface Statistic<R> {
  /** Begins with nothing seen. @param multiply makes large products of matrices, on the runtime. */
  begin(multiply?: Multiply): Running<R>;
  /** Numbers that the runtime computes of each batch: `add` is given them, one row of columns, in place of the value. */
  readonly reduce?: (emit: Emit, value: Value) => readonly Value[];
}

/** A statistic on its way through the samples. */
export interface Running<R> {
  /** @param original the same samples in the original, for a method that looks at both. */
  add(batch: Features, original?: Features): void | Promise<void>;
  end(): R;
}

/**
 * A batch of a value as matrices: a row for each place of each sample, a column for each channel. What comes into a layer has for each of its
 * groups a column for each number that an output is a sum of, column = input · taps + tap.
 */
export interface Features {
  readonly groups: number;
  readonly rows: number;
  /** Of each group. */
  readonly columns: number;
  /** Columns of one input channel: the places of a convolution's kernel, else 1. */
  readonly taps: number;
  /** Rows × columns in float64, of a group or of all side by side; or some of the rows, and some of all columns. */
  matrix(group?: number, rows?: ArrayLike<number>, columns?: readonly number[]): Matrix;
  /** The same numbers as they lie: row outer · inner + i, column c of all groups is at (outer · columns · groups + c) · inner + i. */
  values(): Float32Array | Float64Array;
  readonly inner: number;
}

/** How a tensor is read as features: the axis, or so many from it on, that counts the columns of all groups; without one, all numbers are one column. */
export interface Layout {
  readonly axis?: number | undefined;
  readonly axes?: number | undefined;
  /** Of the value in its model, whose axes these are: a model for one sample has none that counts them, and tensors of several begin with it. */
  readonly rank?: number | undefined;
  readonly groups?: number;
  readonly taps?: number;
}

export function featuresIn(dense: Dense, { axis, axes, rank, groups = 1, taps = 1 }: Layout): Features {
  const { dims } = dense;
  const single = { outer: elementCount(dims), count: 1, inner: 1 };
  const samples = axis !== undefined && axis >= 0 && rank !== undefined && dims.length === rank + 1 ? 1 : 0;
  const { outer, count, inner } = axis === undefined ? single : alongAxis(dims, samples + axis, axes);
  const [all, width] = [outer * inner, count / groups];
  // Few of many numbers may be taken: float32 is not converted for that.
  const values = (): Float32Array | Float64Array => (dense.type === "float32" ? dense.data : toFloat64(dense));
  return {
    groups,
    rows: all,
    columns: width,
    taps,
    inner,
    values,
    matrix(group, rows, columns) {
      const numbers = values();
      const first = (group ?? 0) * width;
      const chosen = columns ?? Array.from({ length: group === undefined ? count : width }, (_, at) => first + at);
      const starts = Uint32Array.from(chosen, (column) => column * inner);
      const result = matrix(rows?.length ?? all, starts.length);
      for (let row = 0, at = 0; row < result.rows; row++) {
        const place = rows?.[row] ?? row;
        const start = Math.floor(place / inner) * count * inner + (place % inner);
        for (let column = 0; column < starts.length; column++)
          result.data[at++] = numbers[start + (starts[column] ?? 0)] ?? 0;
      }
      return result;
    },
  };
}

/** A value of a model, and the axis that counts its channels; without one, all of its numbers are taken together. */
export interface Place {
  readonly name: string;
  readonly axis?: number | undefined;
}

/** What a statistic is told of a value: the value itself, or what is written behind it to reduce it; runs of several windows are joined along rows. */
export function toldOf(
  model: Model,
  { name, axis }: Place,
  { reduce }: Pick<Statistic<unknown>, "reduce">,
): { readonly value: Value } & Pick<Layout, "axis" | "rank"> {
  const value = model.graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `The model has no value "${name}" to observe.`);
  if (reduce === undefined) return { value, axis, rank: value.type?.dims?.length };
  const emit = emitInto(model);
  const single = emit.constant(fromNumbers("int64", [2], [1, 1]), "single");
  const numbers = reduce(emit, value).map((one) => emit.Reshape([emit.Cast([one], { to: typeCodes.float64 }), single]));
  return { value: emit.named(`${name}.reduced`).Concat(numbers, { axis: 1 }), axis: 1 };
}
