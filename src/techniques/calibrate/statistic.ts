/** Statistics over samples, computed batch by batch, so that memory does not depend on the number of samples. */
import { type Emit, emitInto, fromNumbers, type Model, PithError, typeCodes, type Value } from "#ir";
import type { Multiply } from "../../core/math/matrix.ts";
import type { Features, Layout } from "./features.ts";

/**
 * A statistic of values for `observe` and `Calibration`. `add` must copy what it needs of a batch.
 * @example
 * import type { Statistic } from "pith/extend";
 * const rows: Statistic<number> = {
 *   begin() {
 *     let sum = 0;
 *     return { add: (batch) => void (sum += batch.rows), end: () => sum };
 *   },
 * };
 * await observe(engine, model, calibration, ["conv1.out"], rows);
 */
export interface Statistic<R> {
  /** @param multiplyTransposed computes aᵀ · b with the precision of float32. The next call can replace the values of its result. */
  begin(multiply?: Multiply, multiplyTransposed?: Multiply): Running<R>;
  /** Adds nodes that reduce the value to numbers on the runtime. `add` receives these numbers as one row, instead of the value. */
  readonly reduce?: (emit: Emit, value: Value) => readonly Value[];
  /** Statistic of the indices at which a table is read, as a single column; without it, tables have no observable inputs. */
  readonly ofTables?: Omit<Statistic<R>, "ofTables">;
}

export interface Running<R> {
  /** @param original the same samples in the original, for methods that compare both. */
  add(batch: Features, original?: Features): void | Promise<void>;
  end(): R;
}

/** A value of a model and its channel axis. Without an axis, all elements are one column. */
export interface Place {
  readonly name: string;
  readonly axis?: number | undefined;
}

/** Returns the value that a statistic receives: the value itself, or its reduction to one row, added to the model. */
export function writeObserved(
  model: Model,
  { name, axis }: Place,
  { reduce }: Pick<Statistic<unknown>, "reduce">,
): { readonly value: Value } & Pick<Layout, "axis" | "rank"> {
  const value = model.graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `The model has no value "${name}" to observe.`);
  if (reduce === undefined) return { value, axis, rank: value.type?.dims?.length };
  const emit = emitInto(model);
  const singleShape = emit.constant(fromNumbers("int64", [2], [1, 1]), "single");
  const numbers = reduce(emit, value).map((sum) =>
    emit.Reshape([emit.Cast([sum], { to: typeCodes.float64 }), singleShape]),
  );
  return { value: emit.named(`${name}.reduced`).Concat(numbers, { axis: 1 }), axis: 1 };
}
