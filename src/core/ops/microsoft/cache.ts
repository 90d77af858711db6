/**
 * Attention with a key-value cache: GroupQueryAttention, SparseAttention, DecoderMaskedMultiHeadAttention (one token per step), and packed attention.
 * The length of the cache is an integer input, so all operators except GroupQueryAttention have only types and costs.
 * In GroupQueryAttention, several query heads share a key and value head:
 *      softmax(bias + c · tanh(scale · Q·Kᵀ / c)) · V       (c: softcap; without tanh if c is 0)
 * Queries see keys up to their position, up to the last position of the sample (input `seqlens_k`, here `lastPositions`), and within a window if one is set.
 * The operator is lowered for complete sequences, as in training, and after a past of known length, but not if the cache is a larger buffer.
 */
import type { Dim, Emit, Value } from "#graph";
import { addDims, elementCount, extremeDims, Miss, multiplyDims, typeCodes } from "#graph";
import type { Inferred, Site } from "../define.ts";
import { constantIntegersOf, readFlag, readFloat, readInteger, readIntegers } from "../shared/attributes.ts";
import { appendTo, capScores, mergeHeads, rotateHeads, splitHeads } from "../shared/heads.ts";
import { defineInertOp, defineMicrosoftOp } from "../shared/inert.ts";
import { dimsAt, integersConstant, requireInput, sameAsInput, typeOf, withDims } from "../shared/rules.ts";
import {
  attentionMacs,
  type GroupedHeads,
  lengthOf,
  lowestValue,
  queryShapeOf,
  readGroupedHeads,
  totalLengthOf,
} from "./attend.ts";

/** Returns the length of the cache after the step. */
function cacheLength(site: Site): Dim | undefined {
  const total = totalLengthOf(site.inputs[6]);
  const past = site.inputs[3] === undefined ? 0 : site.inputs[3]?.dims?.[2];
  return total === undefined || past === undefined ? undefined : extremeDims("max", [past, total]);
}

interface Settings extends GroupedHeads {
  readonly scale: number;
  readonly softcap: number;
  /** The number of keys that a query sees, up to and including its position. A number below 0 means all keys. */
  readonly window: number;
  readonly appliesRotary: boolean;
  /** Whether rotated pairs are neighboring channels. If not, they are half a head apart. */
  readonly isInterleaved: boolean;
  /** The number of past keys. It is undefined if it is unknown, or if the cache is a buffer that may be longer than the past. */
  readonly past: number | undefined;
  readonly outputs: number;
  /** The reason why the node is not lowered, if it uses a feature without primitives. */
  readonly unsupported: string | undefined;
}

function readSettings(site: Site): Settings {
  const [buffer, length] = [site.inputs[3]?.dims?.[2], site.inputs[0]?.dims?.[1]];
  const total = totalLengthOf(site.inputs[6]);
  const lastPositions = constantIntegersOf(site.inputs[5]);
  const past = site.inputs[3] === undefined ? 0 : buffer;
  // The past fills its buffer if every sample ends with the last new token.
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

const variableLength = "attends over a cache of variable length";
const variableCache = new Miss(variableLength);

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
    const keys = appendTo(emit, s.past === 0 ? undefined : pastKey, newKeys);
    const values = appendTo(emit, s.past === 0 ? undefined : pastValue, newValues);
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

/** Writes a boolean mask of the keys that each query does not see: N × 1 × queries × keys. */
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

export const SparseAttention = defineInertOp<GroupedHeads>({
  name: "SparseAttention",
  read: readGroupedHeads,
  infer: (s, site): readonly Inferred[] | Miss => {
    const { type } = requireInput(site, 0);
    const shape = queryShapeOf(s, site);
    if (shape instanceof Miss) return shape;
    const { batch, length, width } = shape;
    const past = [3, 4].flatMap((input) => sameAsInput(site, input));
    return [{ type, dims: [batch, length, s.heads * width] }, ...past];
  },
  reason: "attends over a cache of variable length, in blocks that its inputs select",
  cost: () => new Miss("its inputs select the blocks that it multiplies"),
});

export const DecoderMaskedMultiHeadAttention = defineInertOp({
  name: "DecoderMaskedMultiHeadAttention",
  read: (site) => ({
    heads: readInteger(site, "num_heads", 1),
    sharesBuffer: readFlag(site, "past_present_share_buffer"),
  }),
  infer: (s, site): readonly Inferred[] | Miss => {
    const { type } = requireInput(site, 0);
    const [q, v] = [dimsAt(site, 0), dimsAt(site, 2)];
    if (q instanceof Miss) return q;
    if (v instanceof Miss) return new Miss("queries, keys and values are packed into one");
    const width = v.length === 4 ? multiplyDims(v[1] ?? 0, v[3] ?? 0) : v[2];
    const cacheAfterStep = (input: number): Inferred => {
      const past = site.inputs[input]?.dims;
      const dims = past?.map((dim, axis) => (axis === 2 && !s.sharesBuffer ? addDims(dim, 1) : dim));
      return { type, dims };
    };
    const keys = cacheAfterStep(5);
    const scores: Inferred = { type, dims: keys.dims && [q[0] as Dim, s.heads, 1, keys.dims[2] as Dim] };
    return [{ type, dims: [...q.slice(0, 2), width as Dim] }, keys, cacheAfterStep(6), scores].slice(0, site.outputs);
  },
  reason: variableLength,
  cost: () => new Miss("the number of keys is an input"),
});

interface Packed {
  readonly heads: number;
  readonly sizes: readonly number[] | undefined;
}

const readPacked = (site: Site): Packed => ({
  heads: readInteger(site, "num_heads", 1),
  sizes: readIntegers(site, "qkv_hidden_sizes"),
});

const packedFacets = {
  reason: "its inputs select which tokens attend to which",
  cost: () => new Miss("its inputs select which tokens attend to which"),
};

export const PackedAttention = defineInertOp<Packed>({
  name: "PackedAttention",
  read: readPacked,
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = requireInput(site, 0);
    const columns = site.inputs[1]?.dims?.[1];
    const width = s.sizes?.[2] ?? (typeof columns === "number" ? columns / 3 : undefined);
    return [{ type, dims: dims === undefined || width === undefined ? undefined : [dims[0] as Dim, width] }];
  },
  ...packedFacets,
  parameters: [1, 2],
});

export const PackedMultiHeadAttention = defineInertOp<Packed>({
  name: "PackedMultiHeadAttention",
  read: readPacked,
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = requireInput(site, 0);
    const [tokens] = dims ?? [];
    const width = site.inputs[2]?.dims?.[1] ?? (dims?.length === 4 ? multiplyDims(s.heads, dims[3] ?? 0) : undefined);
    return [{ type, dims: tokens === undefined || width === undefined ? undefined : [tokens, width] }];
  },
  ...packedFacets,
  parameters: [3],
});

/** Outputs a bias of 1 × heads × queries × keys. Each table row holds the biases for a range of distances; the ranges widen with the distance. */
export const RelativePositionBias = defineInertOp({
  name: "RelativePositionBias",
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = requireInput(site, 0);
    const length = (input: number, axis: number): Dim =>
      totalLengthOf(site.inputs[input]) ?? constantIntegersOf(site.inputs[input])?.[0] ?? site.open(0, axis);
    return [{ type, dims: dims && [1, dims[1] as Dim, length(1, 2), length(2, 3)] }];
  },
  reason: "is a lookup table by distance",
  parameters: [0],
});

/** Outputs N × heads × length × length: the bias of each pair of positions, multiplied by gates that depend on the queries. */
export const GatedRelativePositionBias = defineInertOp({
  name: "GatedRelativePositionBias",
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = requireInput(site, 0);
    const bias = site.inputs[2]?.dims;
    const batch = dims?.length === 3 ? dims[0] : site.inputs[6]?.dims?.[0];
    return [{ type, dims: bias && batch !== undefined ? [batch, ...bias.slice(1)] : undefined }];
  },
  reason: "gates the attention bias by its queries",
  parameters: [1, 3, 4, 5],
  cost: (_, site) => withDims(site, [0, 3], (q = [], w = []) => multiplyDims(elementCount(q), w[1] ?? 0)),
});
