/** Attention as primitives: softmax(scale · Q·Kᵀ + biases) · V per head, with heads as N × heads × length × width. */

import { addDims, type Dim, type Emit, elementCount, Miss, multiplyDims, typeCodes, type Value } from "#graph";
import type { Operand, Site } from "../define.ts";
import { readInteger } from "../shared/attributes.ts";
import { dimsAt, scalar, typeOf } from "../shared/shapes.ts";

export interface AttentionInputs {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
  readonly scale: number;
  /** Biases of the scores, which broadcast to N × heads × length × keys. */
  readonly added: readonly Value[];
  /** If defined, a query sees keys up to its position. Past keys precede the new keys. */
  readonly causal: { readonly past: Value | undefined } | undefined;
}

/** Writes the result, N × heads × length × width, and the attention weights. */
export function writeAttention(
  emit: Emit,
  { query, key, value, scale, added, causal }: AttentionInputs,
): Record<"y" | "weights", Value> {
  const products = emit.MatMul([query, emit.Transpose([key], { perm: [0, 1, 3, 2] })]);
  const scaledScores = emit.Mul([products, scale]);
  const futureBias = causal === undefined ? [] : [hideFuture(emit, query, key, causal.past)];
  const scores = [...added, ...futureBias].reduce((sum, part) => emit.Add([sum, part]), scaledScores);
  const weights = emit.Softmax([scores], { axis: -1 });
  return { y: emit.MatMul([weights, value]), weights };
}

export function lengthOf(emit: Emit, x: Value): Value {
  return emit.Squeeze([emit.Shape([x], { start: 2, end: 3 }), [0]]);
}

export const lowestValue = (type: string): number =>
  type === "float16" ? -65504 : type === "bfloat16" ? -3.3895313892515355e38 : -3.4028234663852886e38;

/** Writes a bias of length × keys: the lowest number of the type for keys after the query, 0 for other keys. */
function hideFuture(emit: Emit, query: Value, key: Value, past: Value | undefined): Value {
  const firstPosition = past === undefined ? 0 : lengthOf(emit, past);
  const positions = emit.Range([firstPosition, emit.Add([firstPosition, lengthOf(emit, query)]), 1]);
  const keys = emit.Range([0, lengthOf(emit, key), 1]);
  const isLater = emit.Less([emit.Unsqueeze([positions, [1]]), keys]);
  const type = typeOf(query);
  return emit.Where([isLater, scalar(emit, type, lowestValue(type)), 0]);
}

/** Writes 0 for visible keys, otherwise `maskValue`. Masks: N × keys, N × length × keys (1: visible), or N end positions, perhaps with N starts. */
export function writeMaskBias(emit: Emit, mask: Value, key: Value, maskValue: number): Value | Miss {
  const dims = mask.type?.dims;
  const batch = key.type?.dims?.[0];
  if (dims === undefined) return new Miss("the rank of its mask is not known");
  const biasWhere = (isVisible: Value): Value => emit.Where([isVisible, scalar(emit, typeOf(key), 0), maskValue]);
  if (dims.length === 2 || dims.length === 3)
    return biasWhere(emit.Unsqueeze([emit.Greater([mask, 0]), dims.length === 2 ? [1, 2] : [1]]));
  if (dims.length !== 1 || batch === undefined) return new Miss(`a mask with ${dims.length} axes is not lowered`);
  const keys = emit.Cast([emit.Range([0, lengthOf(emit, key), 1])], { to: typeCodes.int32 });
  const isBeforeEnd = (ends: Value): Value => emit.Less([keys, emit.Unsqueeze([ends, [1, 2, 3]])]);
  if (dims[0] === batch) return biasWhere(isBeforeEnd(mask));
  if (dims[0] !== multiplyDims(batch, 2)) return new Miss("its mask is neither one length for each sample nor two");
  const [ends, starts] = emit.many("Split", [mask], { axis: 0, num_outputs: 2 }, 2);
  return biasWhere(emit.And([isBeforeEnd(ends), emit.Not([isBeforeEnd(starts)])]));
}

/** Returns the multiply-accumulates of Q·Kᵀ and the product with V. */
export function attentionMacs(
  query: { readonly batch: Dim; readonly length: Dim; readonly width: Dim },
  keys: Dim,
  valueWidth: Dim,
): Dim {
  const { batch, length, width } = query;
  return addDims(elementCount([batch, length, width, keys]), elementCount([batch, length, valueWidth, keys]));
}

export interface GroupedHeads {
  readonly heads: number;
  readonly keyHeads: number;
}

export const readGroupedHeads = (site: Site): GroupedHeads => ({
  heads: readInteger(site, "num_heads", 1),
  keyHeads: readInteger(site, "kv_num_heads", 1),
});

/** `width` counts the channels of one head. */
interface Shape {
  readonly batch: Dim;
  readonly length: Dim;
  readonly width: number;
}

/** Returns the shape of queries N × length × (heads · width). Without a key input, each row also contains keys and values. */
export function queryShapeOf(s: GroupedHeads, site: Site): Shape | Miss {
  const q = dimsAt(site, 0);
  if (q instanceof Miss) return q;
  const [batch, length, channels] = q;
  if (batch === undefined || length === undefined || typeof channels !== "number")
    return new Miss("the width of its queries is not known");
  const isPacked = site.inputs[1] === undefined;
  return { batch, length, width: channels / (isPacked ? s.heads + 2 * s.keyHeads : s.heads) };
}

export function totalLengthOf(operand: Operand | undefined): Dim | undefined {
  return operand?.elements?.length === 1 ? operand.elements[0] : undefined;
}
