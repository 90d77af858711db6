/**
 * Attention with a key-value cache whose length is an integer input (GroupQueryAttention). Several query heads share a key and value head:
 *      softmax(bias + c · tanh(scale · Q·Kᵀ / c)) · V       (c: softcap; without tanh if c is 0)
 * It is lowered for complete sequences and after a past of known length, but not if the cache is a larger buffer.
 */
import type { Dim, Emit, Value } from "#graph";
import { addDims, extremeDims, Miss, typeCodes } from "#graph";
import type { Inferred, Site } from "../define.ts";
import { constantIntegersOf, readFlag, readFloat, readInteger } from "../shared/attributes.ts";
import { appendToPast, capScores, mergeHeads, rotateHeads, splitHeads } from "../shared/heads.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { integersConstant, requireInput, typeOf } from "../shared/shapes.ts";
import {
  attentionMacs,
  type GroupedHeads,
  lengthOf,
  lowestValue,
  queryShapeOf,
  readGroupedHeads,
  totalLengthOf,
} from "./attend.ts";

function cacheLength(site: Site): Dim | undefined {
  const total = totalLengthOf(site.inputs[6]);
  const past = site.inputs[3] === undefined ? 0 : site.inputs[3]?.dims?.[2];
  return total === undefined || past === undefined ? undefined : extremeDims("max", [past, total]);
}

interface Settings extends GroupedHeads {
  readonly scale: number;
  readonly softcap: number;
  /** The keys that a query sees, up to and including its position. A negative number means all keys. */
  readonly window: number;
  readonly appliesRotary: boolean;
  /** Whether rotated pairs are neighboring channels. */
  readonly isInterleaved: boolean;
  /** The number of past keys; undefined if unknown, or if the cache is a buffer that can be longer. */
  readonly past: number | undefined;
  readonly outputs: number;
  /** Why the node is not lowered, if it uses a feature without primitives. */
  readonly unsupported: string | undefined;
}

function readSettings(site: Site): Settings {
  const [buffer, length] = [site.inputs[3]?.dims?.[2], site.inputs[0]?.dims?.[1]];
  const total = totalLengthOf(site.inputs[6]);
  const lastPositions = constantIntegersOf(site.inputs[5]);
  const past = site.inputs[3] === undefined ? 0 : buffer;
  // The past fills its buffer if no sample has padding: the last position of each is that of the last new token.
  const isFull =
    typeof past === "number" &&
    typeof length === "number" &&
    total === past + length &&
    lastPositions?.every((position) => position + 1 === past + length) === true;
  const hasExtras = site.inputs.slice(11).some((operand) => operand !== undefined);
  return {
    ...readGroupedHeads(site),
    scale: readFloat(site, "scale", 0),
    softcap: readFloat(site, "softcap", 0),
    window: readInteger(site, "local_window_size", -1),
    appliesRotary: readFlag(site, "do_rotary"),
    isInterleaved: readFlag(site, "rotary_interleaved"),
    past: past === 0 || (typeof past === "number" && isFull) ? past : undefined,
    outputs: site.outputs,
    unsupported:
      readInteger(site, "smooth_softmax", 0) > 0 || hasExtras
        ? "has a modified softmax, or a quantized cache"
        : site.outputs > 3
          ? "outputs its attention scores"
          : undefined,
  };
}

const variableCache = new Miss("attends over a cache of variable length");

export const GroupQueryAttention = defineMicrosoftOp<Settings>({
  name: "GroupQueryAttention",
  read: readSettings,
  infer: (s, site): readonly Inferred[] | Miss => {
    const { type } = requireInput(site, 0);
    const shape = queryShapeOf(s, site);
    if (shape instanceof Miss) return shape;
    const { batch, length, width } = shape;
    const dims = [batch, s.keyHeads, cacheLength(site) ?? site.open(1, 2), site.inputs[3]?.dims?.[3] ?? width];
    const present: Inferred = { type: site.inputs[3]?.type ?? type, dims };
    const total = totalLengthOf(site.inputs[6]) ?? site.open(3, 3);
    const scores: Inferred = { type, dims: [batch, s.heads, length, total] };
    return [{ type, dims: [batch, length, s.heads * width] }, present, present, scores].slice(0, site.outputs);
  },
  // Input 5 is the position of each sample's last token; input 6 is the total number of positions.
  wants: (_, site) => {
    const [length, past] = [site.inputs[0]?.dims?.[1], site.inputs[3] === undefined ? 0 : site.inputs[3].dims?.[2]];
    if (length === undefined || past === undefined) return [];
    const total = addDims(past, length);
    const last = addDims(total, -1);
    return [
      { input: 5, low: last, high: last, strict: true },
      { input: 6, low: total, high: total, strict: true },
    ];
  },
  weight: variableCache,
  axes: variableCache,
  lower: (s, emit, inputs) => {
    const [q, k, v, pastKey, pastValue, lastPositions, , cos, sin, positions, bias] = inputs;
    const width = q?.type?.dims?.[2];
    if (q === undefined || lastPositions === undefined || typeof width !== "number")
      return new Miss("an operand is not known");
    if (s.past === undefined) return new Miss("its cache is a preallocated buffer whose filled length is an input");
    if (s.unsupported !== undefined) return new Miss(s.unsupported);
    const size = width / (k === undefined ? s.heads + 2 * s.keyHeads : s.heads);
    const widths = [s.heads * size, s.keyHeads * size, s.keyHeads * size];
    const split = (): readonly Value[] => emit.many("Split", [q, widths], { axis: 2 }, 3);
    const [query, key, value] = k === undefined || v === undefined ? split() : [q, k, v];
    if (query === undefined || key === undefined || value === undefined) return new Miss("an operand is not known");
    const rotate = (x: Value): Value | Miss => {
      if (!s.appliesRotary) return x;
      if (cos === undefined || sin === undefined) return new Miss("rotates by angles that are not inputs");
      const firstPosition = positions ?? integersConstant(emit, [s.past ?? 0]);
      return rotateHeads(emit, x, firstPosition, { cos, sin, isInterleaved: s.isInterleaved, width: size });
    };
    const queries = rotate(splitHeads(emit, query, s.heads));
    const newKeys = rotate(splitHeads(emit, key, s.keyHeads));
    if (queries instanceof Miss) return queries;
    if (newKeys instanceof Miss) return newKeys;
    const newValues = splitHeads(emit, value, s.keyHeads);
    const keys = appendToPast(emit, s.past === 0 ? undefined : pastKey, newKeys);
    const values = appendToPast(emit, s.past === 0 ? undefined : pastValue, newValues);
    // Query heads that share a key head become rows of one matrix.
    const shape = emit.Shape([queries]);
    const rows = emit.Reshape([queries, [0, s.keyHeads, -1, size]]);
    const products = emit.MatMul([rows, emit.Transpose([keys], { perm: [0, 1, 3, 2] })]);
    const leadingSizes = emit.Slice([shape, [0], [3]]);
    const scoreShape = emit.Concat([leadingSizes, [-1]], { axis: 0 });
    const scaledScores = emit.Mul([
      emit.Reshape([products, scoreShape]),
      s.scale === 0 ? 1 / Math.sqrt(size) : s.scale,
    ]);
    const cappedScores = capScores(emit, scaledScores, s.softcap);
    const scores = bias === undefined ? cappedScores : emit.Add([cappedScores, bias]);
    const maskedScores = emit.Where([
      writeHiddenKeys(s, emit, queries, keys, lastPositions),
      lowestValue(typeOf(q)),
      scores,
    ]);
    const weights = emit.Softmax([maskedScores], { axis: -1 });
    const groupedWeights = emit.Reshape([weights, emit.Shape([products])]);
    const y = emit.Reshape([emit.MatMul([groupedWeights, values]), shape]);
    return [mergeHeads(emit, y), keys, values].slice(0, s.outputs);
  },
  cost: (s, site) => {
    const shape = queryShapeOf(s, site);
    const total = totalLengthOf(site.inputs[6]);
    if (shape instanceof Miss) return shape;
    if (total === undefined) return new Miss("the number of keys is an input");
    const totalWidth = shape.width * s.heads;
    return attentionMacs({ ...shape, width: totalWidth }, total, totalWidth);
  },
  quantize: variableCache,
});

/** Writes a mask of the keys that each query does not see: N × 1 × queries × keys. */
function writeHiddenKeys(s: Settings, emit: Emit, queries: Value, keys: Value, lastPositions: Value): Value {
  const past = s.past ?? 0;
  const rows = emit.Range([past, emit.Add([past, lengthOf(emit, queries)]), 1]);
  const column = emit.Unsqueeze([rows, [1]]);
  const positions = emit.Range([0, lengthOf(emit, keys), 1]);
  const isLater = emit.Greater([positions, column]);
  const isHidden =
    s.window < 0 ? isLater : emit.Or([isLater, emit.LessOrEqual([positions, emit.Sub([column, s.window])])]);
  const ends = emit.Reshape([emit.Cast([lastPositions], { to: typeCodes.int64 }), [-1, 1, 1, 1]]);
  return emit.Or([isHidden, emit.Greater([positions, ends])]);
}
