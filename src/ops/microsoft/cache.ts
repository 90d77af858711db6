/**
 * Attention over a cache, as generators of text have it: SparseAttention (GroupQueryAttention of chosen blocks), DecoderMaskedMultiHeadAttention
 * (one token a step), and attention over tokens without padding (packed). How long the cache is stands in integers that are fed, so they are
 * typed, counted where lengths are known, and left alone.
 */
import { Miss } from "../../errors.ts";
import { addDims, type Dim, elementCount, multiplyDims } from "../../tensor/dims.ts";
import type { Inferred, Site } from "../define.ts";
import { constantIntegers, integer, integers } from "../shared/attributes.ts";
import { dimsAt, need, sameAsInput, withDims } from "../shared/rules.ts";
import { type Grouped, readGrouped, shapeOf, totalLength } from "./attend.ts";
import { typed } from "./typed.ts";

export const SparseAttention = typed<Grouped>({
  name: "SparseAttention",
  read: readGrouped,
  infer: (s, site): readonly Inferred[] | Miss => {
    const { type } = need(site, 0);
    const shape = shapeOf(s, site);
    if (shape instanceof Miss) return shape;
    const { batch, length, width } = shape;
    const past = [3, 4].flatMap((input) => sameAsInput(site, input));
    return [{ type, dims: [batch, length, s.heads * width] }, ...past];
  },
  why: "attends over a cache of variable length, in blocks that its inputs select",
  cost: () => new Miss("its inputs select the blocks that it multiplies"),
});

export const DecoderMaskedMultiHeadAttention = typed({
  name: "DecoderMaskedMultiHeadAttention",
  read: (site) => ({
    heads: integer(site, "num_heads", 1),
    shared: integer(site, "past_present_share_buffer", 0) !== 0,
  }),
  infer: (s, site): readonly Inferred[] | Miss => {
    const { type } = need(site, 0);
    const [q, v] = [dimsAt(site, 0), dimsAt(site, 2)];
    if (q instanceof Miss) return q;
    if (v instanceof Miss) return new Miss("queries, keys and values are packed into one");
    const width = v.length === 4 ? multiplyDims(v[1] ?? 0, v[3] ?? 0) : v[2];
    const after = (input: number): Inferred => {
      const past = site.inputs[input]?.dims;
      const dims = past?.map((dim, axis) => (axis === 2 && !s.shared ? addDims(dim, 1) : dim));
      return { type, dims };
    };
    const keys = after(5);
    const scores: Inferred = { type, dims: keys.dims && [q[0] as Dim, s.heads, 1, keys.dims[2] as Dim] };
    return [{ type, dims: [...q.slice(0, 2), width as Dim] }, keys, after(6), scores].slice(0, site.outputs);
  },
  why: "attends over a cache of variable length",
  cost: () => new Miss("the number of keys is an input"),
});

interface Packed {
  readonly heads: number;
  readonly sizes: readonly number[] | undefined;
}

const readPacked = (site: Site): Packed => ({
  heads: integer(site, "num_heads", 1),
  sizes: integers(site, "qkv_hidden_sizes"),
});

const packedWhy = "its inputs select which tokens attend to which";

/** Tokens × width, whatever samples they belong to. */
export const PackedAttention = typed<Packed>({
  name: "PackedAttention",
  read: readPacked,
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const columns = site.inputs[1]?.dims?.[1];
    const width = s.sizes?.[2] ?? (typeof columns === "number" ? columns / 3 : undefined);
    return [{ type, dims: dims === undefined || width === undefined ? undefined : [dims[0] as Dim, width] }];
  },
  why: packedWhy,
  parameters: [1, 2],
  cost: () => new Miss(packedWhy),
});

export const PackedMultiHeadAttention = typed<Packed>({
  name: "PackedMultiHeadAttention",
  read: readPacked,
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const [tokens] = dims ?? [];
    const width = site.inputs[2]?.dims?.[1] ?? (dims?.length === 4 ? multiplyDims(s.heads, dims[3] ?? 0) : undefined);
    return [{ type, dims: tokens === undefined || width === undefined ? undefined : [tokens, width] }];
  },
  why: packedWhy,
  parameters: [3],
  cost: () => new Miss(packedWhy),
});

/** 1 × heads × queries × keys: a row of the table for each distance, in ranges that widen. */
export const RelativePositionBias = typed({
  name: "RelativePositionBias",
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const length = (input: number, axis: number): Dim =>
      totalLength(site.inputs[input]) ?? constantIntegers(site.inputs[input])?.[0] ?? site.open(0, axis);
    return [{ type, dims: dims && [1, dims[1] as Dim, length(1, 2), length(2, 3)] }];
  },
  why: "is a lookup table by distance",
  parameters: [0],
});

/** The bias for each pair of places, weighed by gates that the queries make: N × heads × length × length. */
export const GatedRelativePositionBias = typed({
  name: "GatedRelativePositionBias",
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const bias = site.inputs[2]?.dims;
    const batch = dims?.length === 3 ? dims[0] : site.inputs[6]?.dims?.[0];
    return [{ type, dims: bias && batch !== undefined ? [batch, ...bias.slice(1)] : undefined }];
  },
  why: "gates the attention bias by its queries",
  parameters: [1, 3, 4, 5],
  cost: (_, site) => withDims(site, [0, 3], (q = [], w = []) => multiplyDims(elementCount(q), w[1] ?? 0)),
});
