/** Writes steps that attention operators share: splitting into heads, appending to the past, rotary positions. */
import { type Emit, Miss, type Value } from "#graph";

/** N × length × (heads · width) → N × heads × length × width. */
export function splitHeads(emit: Emit, x: Value | undefined, heads: number): Value {
  const width = x?.type?.dims?.[2];
  const shape = [0, 0, heads, typeof width === "number" ? width / heads : -1];
  return emit.Transpose([emit.Reshape([x, shape])], { perm: [0, 2, 1, 3] });
}

/** N × heads × length × width → N × length × (heads · width). */
export function mergeHeads(emit: Emit, x: Value): Value {
  const [, heads, , width] = x.type?.dims ?? [];
  const mergedWidth = typeof heads === "number" && typeof width === "number" ? heads * width : -1;
  return emit.Reshape([emit.Transpose([x], { perm: [0, 2, 1, 3] }), [0, 0, mergedWidth]]);
}

/** Concatenates keys (or values), N × heads × length × width, along the length. */
export const appendToPast = (emit: Emit, past: Value | undefined, newPart: Value): Value =>
  past === undefined ? newPart : emit.Concat([past, newPart], { axis: 2 });

/** Limits scores to cap · tanh(scores / cap), if the cap is above 0. */
export const capScores = (emit: Emit, scores: Value, cap: number): Value =>
  cap > 0 ? emit.Mul([emit.Tanh([emit.Div([scores, cap])]), cap]) : scores;

interface Rotation {
  /** Rotated channels of a head. */
  readonly count: number;
  /** All channels of a head. */
  readonly width: number;
  /** Whether the two channels of a pair are neighbors instead of count / 2 apart. */
  readonly isInterleaved: boolean;
  /** N × 1 × length × count/2 */
  readonly cos: Value;
  readonly sin: Value;
}

/** Rotates pairs of channels, N × heads × length × width: (a, b) → (a·cos - b·sin, a·sin + b·cos). */
export function rotatePairs(emit: Emit, x: Value, { count, width, isInterleaved, cos, sin }: Rotation): Value {
  const split = (value: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
    emit.many("Split", [value, sizes], { axis }, sizes.length);
  const [rotatedPart = x, unrotatedPart] = count === width ? [x] : split(x, 3, [count, width - count]);
  const [a, b] = isInterleaved
    ? split(emit.Reshape([rotatedPart, [0, 0, 0, count / 2, 2]]), 4, [1, 1]).map((half) => emit.Squeeze([half, [4]]))
    : split(rotatedPart, 3, [count / 2, count / 2]);
  const real = emit.Sub([emit.Mul([a, cos]), emit.Mul([b, sin])]);
  const imaginary = emit.Add([emit.Mul([a, sin]), emit.Mul([b, cos])]);
  const unsqueezeLast = (value: Value): Value => emit.Unsqueeze([value, [4]]);
  const rotatedPairs = isInterleaved
    ? emit.Reshape([emit.Concat([unsqueezeLast(real), unsqueezeLast(imaginary)], { axis: 4 }), [0, 0, 0, count]])
    : emit.Concat([real, imaginary], { axis: 3 });
  return unrotatedPart === undefined ? rotatedPairs : emit.Concat([rotatedPairs, unrotatedPart], { axis: 3 });
}

/** Writes cos or sin of each token, N × 1 × length × pairs. `positions` has one position per token (N × length), or only the first. */
function gatherAngles(emit: Emit, table: Value | undefined, positions: Value | undefined, length: Value): Value {
  if (positions?.type?.dims?.length === 2) return emit.Unsqueeze([emit.Gather([table, positions], { axis: 0 }), [1]]);
  const steps = emit.Range([0, emit.Squeeze([length, [0]]), 1]);
  return emit.Unsqueeze([emit.Gather([table, emit.Add([positions, steps])], { axis: 0 }), [0, 1]]);
}

interface AngleTables {
  readonly cos: Value | undefined;
  readonly sin: Value | undefined;
  readonly isInterleaved: boolean;
  readonly width: number;
}

/** Rotates heads N × heads × length × width by the angles of their positions. */
export function rotateHeads(emit: Emit, x: Value, positions: Value | undefined, tables: AngleTables): Value | Miss {
  const pairCount = tables.cos?.type?.dims?.[1];
  if (typeof pairCount !== "number") return new Miss("the number of rotated channels is not known");
  const length = emit.Shape([x], { start: 2, end: 3 });
  const cos = gatherAngles(emit, tables.cos, positions, length);
  return rotatePairs(emit, x, {
    ...tables,
    count: 2 * pairCount,
    cos,
    sin: gatherAngles(emit, tables.sin, positions, length),
  });
}
