/** Attention heads: splitting, merging, and rotary embedding. */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";

/** N × length × (heads · width) → N × heads × length × width. */
export function toHeads(emit: Emit, x: Value | undefined, heads: number): Value {
  const width = x?.type?.dims?.[2];
  const shape = [0, 0, heads, typeof width === "number" ? width / heads : -1];
  return emit.Transpose([emit.Reshape([x, shape])], { perm: [0, 2, 1, 3] });
}

/** N × heads × length × width → N × length × (heads · width). */
export function fromHeads(emit: Emit, x: Value): Value {
  const [, heads, , width] = x.type?.dims ?? [];
  const last = typeof heads === "number" && typeof width === "number" ? heads * width : -1;
  return emit.Reshape([emit.Transpose([x], { perm: [0, 2, 1, 3] }), [0, 0, last]]);
}

/** Writes keys or values of the past, then the new ones. */
export const appendTo = (emit: Emit, past: Value | undefined, added: Value): Value =>
  past === undefined ? added : emit.Concat([past, added], { axis: 2 });

/** Limits scores to cap · tanh(scores / cap), if the cap is above 0. */
export const capScores = (emit: Emit, scores: Value, cap: number): Value =>
  cap > 0 ? emit.Mul([emit.Tanh([emit.Div([scores, cap])]), cap]) : scores;

interface Rotation {
  /** The number of rotated channels of a head; `width` is the number of all channels. */
  readonly count: number;
  readonly width: number;
  /** Pairs are neighbors; otherwise they are `count` / 2 apart. */
  readonly interleaved: boolean;
  /** N × 1 × length × count/2 */
  readonly cos: Value;
  readonly sin: Value;
}

/** Rotates pairs of channels of each head, N × heads × length × width: (a, b) → (a·cos - b·sin, a·sin + b·cos). */
export function rotatePairs(emit: Emit, x: Value, { count, width, interleaved, cos, sin }: Rotation): Value {
  const parts = (value: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
    emit.many("Split", [value, sizes], { axis }, sizes.length);
  const [part = x, rest] = count === width ? [x] : parts(x, 3, [count, width - count]);
  // Splits neighbors along a new axis of length two.
  const [a, b] = interleaved
    ? parts(emit.Reshape([part, [0, 0, 0, count / 2, 2]]), 4, [1, 1]).map((half) => emit.Squeeze([half, [4]]))
    : parts(part, 3, [count / 2, count / 2]);
  const real = emit.Sub([emit.Mul([a, cos]), emit.Mul([b, sin])]);
  const imaginary = emit.Add([emit.Mul([a, sin]), emit.Mul([b, cos])]);
  const side = (value: Value): Value => emit.Unsqueeze([value, [4]]);
  const joined = interleaved
    ? emit.Reshape([emit.Concat([side(real), side(imaginary)], { axis: 4 }), [0, 0, 0, count]])
    : emit.Concat([real, imaginary], { axis: 3 });
  return rest === undefined ? joined : emit.Concat([joined, rest], { axis: 3 });
}

/** Writes cos or sin of each token, N × 1 × length × pairs (1 × 1 × … if positions follow from the first). */
function angles(emit: Emit, table: Value | undefined, positions: Value | undefined, length: Value): Value {
  if (positions?.type?.dims?.length === 2) return emit.Unsqueeze([emit.Gather([table, positions], { axis: 0 }), [1]]);
  const steps = emit.Range([0, emit.Squeeze([length, [0]]), 1]);
  return emit.Unsqueeze([emit.Gather([table, emit.Add([positions, steps])], { axis: 0 }), [0, 1]]);
}

interface AngleTables {
  readonly cos: Value | undefined;
  readonly sin: Value | undefined;
  readonly interleaved: boolean;
  readonly width: number;
}

/** Rotates heads N × heads × length × width by the angles of their positions: one per token, or counted from the first. */
export function rotateHeads(emit: Emit, x: Value, positions: Value | undefined, tables: AngleTables): Value | Miss {
  const half = tables.cos?.type?.dims?.[1];
  if (typeof half !== "number") return new Miss("the number of rotated channels is not known");
  const length = emit.Shape([x], { start: 2, end: 3 });
  const cos = angles(emit, tables.cos, positions, length);
  return rotatePairs(emit, x, { ...tables, count: 2 * half, cos, sin: angles(emit, tables.sin, positions, length) });
}
