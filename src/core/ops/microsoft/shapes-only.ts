/**
 * Operators of which Pith knows types, shapes and cost only: those of com.microsoft that run on GPUs only, read a cache of variable length or have
 * no counterpart in the default domain, and those of com.microsoft.nchwc. The latter have channels in blocks of 8 or 16 (SIMD width). Values keep the
 * dimensions N × C × spatial, with C rounded up to complete blocks. ReorderInput converts to blocks, ReorderOutput back.
 */
import { addDims, type Dim, elementCount, floorDims, Miss, multiplyDims } from "#graph";
import type { Inferred, Op, OpDef, Site } from "../define.ts";
import { constantIntegersOf, readFlag, readInteger, readIntegers, wrapAxis } from "../shared/attributes.ts";
import { blockedFormOf } from "../shared/channel-blocks.ts";
import {
  type ConvSettings,
  convCost,
  convDims,
  inferConv,
  readConv,
  toChannelsFirst,
  toChannelsLast,
  withChannelsFirstData,
} from "../shared/convolution.ts";
import { defineInert, linkChannels } from "../shared/inert.ts";
import { inferProduct, matmulCost, matmulWeight } from "../shared/products.ts";
import { dimsAt, inferShape, range, requireInput, sameAsInput, withDims } from "../shared/rules.ts";
import { globalPoolDims, poolDims, readPool } from "../shared/window.ts";
import { queryShapeOf, readGroupedHeads, totalLengthOf } from "./attend.ts";

type Facets = Partial<Pick<OpDef<null>, "parameters" | "weight" | "axes" | "needsFloat32" | "inChannelBlocks">>;

interface Row extends Facets {
  readonly name: string;
  /** The reason why everything but types, shapes and cost is missing. */
  readonly reason: string;
  infer(site: Site): readonly Inferred[] | Miss;
  cost?(site: Site): Dim | Miss;
}

const gpuOnly = "ONNX Runtime runs it on GPUs only";

/** Reads the settings of a window or convolution, and computes with them. */
const withSettings = <S, T>(read: (site: Site) => S | Miss, compute: (s: S, site: Site) => T) => {
  return (site: Site): T | Miss => {
    const s = read(site);
    return s instanceof Miss ? s : compute(s, site);
  };
};

const nhwcConv = {
  reason: gpuOnly,
  infer: withSettings(readConv, (s, site) =>
    inferShape(site, () => {
      const dims = withDims(withChannelsFirstData(site), [0, 1], (x, w) => convDims(s, x, w));
      return dims instanceof Miss ? dims : toChannelsLast(dims);
    }),
  ),
  parameters: [1, 2],
  cost: withSettings(readConv, (s: ConvSettings, site) => convCost(s, withChannelsFirstData(site))),
};

const inferPool = withSettings(readPool, (s, site) => inferShape(site, (dims) => poolDims(s, dims)));

const groupNorm = {
  reason: gpuOnly,
  infer: (site: Site) => range(site.outputs).flatMap(() => sameAsInput(site)),
  parameters: [1, 2, 4],
};

const packed = {
  reason: "its inputs select which tokens attend to which",
  cost: () => new Miss("its inputs select which tokens attend to which"),
};

const experts = {
  infer: (site: Site) => sameAsInput(site),
  cost: () => new Miss("which experts compute depends on the data"),
};

const microsoftRows: readonly Row[] = [
  { name: "NhwcConv", ...nhwcConv },
  { name: "NhwcFusedConv", ...nhwcConv },
  { name: "GroupNorm", ...groupNorm },
  { name: "SkipGroupNorm", ...groupNorm },
  { name: "BiasSoftmax", reason: gpuOnly, infer: (site) => sameAsInput(site) },
  {
    name: "BiasSplitGelu",
    reason: gpuOnly,
    infer: (site) => inferShape(site, (dims) => dims.with(-1, floorDims(dims.at(-1) ?? 0, 2))),
    parameters: [1],
  },
  { name: "MoE", ...experts, reason: "routes each token to a few experts", parameters: [2, 3, 4, 5, 6, 7] },
  {
    name: "QMoE",
    ...experts,
    reason: "routes each token to a few experts, whose weights are quantized",
    parameters: [4, 7],
  },
  {
    name: "SparseAttention",
    reason: "attends over a cache of variable length, in blocks that its inputs select",
    infer(site) {
      const s = readGroupedHeads(site);
      const shape = queryShapeOf(s, site);
      if (shape instanceof Miss) return shape;
      const { batch, length, width } = shape;
      const y: Inferred = { type: requireInput(site, 0).type, dims: [batch, length, s.heads * width] };
      return [y, ...sameAsInput(site, 3), ...sameAsInput(site, 4)];
    },
    cost: () => new Miss("its inputs select the blocks that it multiplies"),
  },
  {
    name: "DecoderMaskedMultiHeadAttention",
    reason: "attends over a cache of variable length",
    infer(site) {
      const { type } = requireInput(site, 0);
      const [q, v] = [dimsAt(site, 0), dimsAt(site, 2)];
      if (q instanceof Miss) return q;
      if (v instanceof Miss) return new Miss("queries, keys and values are packed into one");
      const width = v.length === 4 ? multiplyDims(v[1] ?? 0, v[3] ?? 0) : v[2];
      // The step adds one key, unless the cache is a buffer.
      const added = readFlag(site, "past_present_share_buffer") ? 0 : 1;
      const cacheAfterStep = (input: number): Inferred => {
        const dims = site.inputs[input]?.dims?.map((dim, axis) => (axis === 2 ? addDims(dim, added) : dim));
        return { type, dims };
      };
      const [keys, values] = [cacheAfterStep(5), cacheAfterStep(6)];
      const heads = readInteger(site, "num_heads", 1);
      const scores: Inferred = { type, dims: keys.dims && [q[0] as Dim, heads, 1, keys.dims[2] as Dim] };
      return [{ type, dims: [...q.slice(0, 2), width as Dim] }, keys, values, scores].slice(0, site.outputs);
    },
    cost: () => new Miss("the number of keys is an input"),
  },
  {
    name: "PackedAttention",
    ...packed,
    infer(site) {
      const { type, dims } = requireInput(site, 0);
      const columns = site.inputs[1]?.dims?.[1];
      const sizes = readIntegers(site, "qkv_hidden_sizes");
      const width = sizes?.[2] ?? (typeof columns === "number" ? columns / 3 : undefined);
      return [{ type, dims: dims === undefined || width === undefined ? undefined : [dims[0] as Dim, width] }];
    },
    parameters: [1, 2],
  },
  {
    name: "PackedMultiHeadAttention",
    ...packed,
    infer(site) {
      const { type, dims } = requireInput(site, 0);
      const [tokens] = dims ?? [];
      const packedWidth =
        dims?.length === 4 ? multiplyDims(readInteger(site, "num_heads", 1), dims[3] ?? 0) : undefined;
      const width = site.inputs[2]?.dims?.[1] ?? packedWidth;
      return [{ type, dims: tokens === undefined || width === undefined ? undefined : [tokens, width] }];
    },
    parameters: [3],
  },
  {
    // Computes q · cos(e) + q' · sin(e) and k · cos(e) + k' · sin(e). The rotated q' and k' are inputs.
    name: "GemmaRotaryEmbedding",
    reason: "rotates channels in pairs, in half precision on GPU only",
    infer: (site) => [1, 3].flatMap((input) => sameAsInput(site, input)),
  },
  {
    // Outputs 1 × heads × queries × keys. Each table row has the biases for a range of distances.
    name: "RelativePositionBias",
    reason: "is a lookup table by distance",
    infer(site) {
      const { type, dims } = requireInput(site, 0);
      const length = (input: number, axis: number): Dim =>
        totalLengthOf(site.inputs[input]) ?? constantIntegersOf(site.inputs[input])?.[0] ?? site.open(0, axis);
      return [{ type, dims: dims && [1, dims[1] as Dim, length(1, 2), length(2, 3)] }];
    },
    parameters: [0],
  },
  {
    // Outputs N × heads × length × length: the bias of each pair of positions, multiplied by gates that depend on the queries.
    name: "GatedRelativePositionBias",
    reason: "gates the attention bias by its queries",
    infer(site) {
      const { type, dims } = requireInput(site, 0);
      const bias = site.inputs[2]?.dims;
      const batch = dims?.length === 3 ? dims[0] : site.inputs[6]?.dims?.[0];
      return [{ type, dims: bias && batch !== undefined ? [batch, ...bias.slice(1)] : undefined }];
    },
    parameters: [1, 3, 4, 5],
    cost: (site) => withDims(site, [0, 3], (q = [], w = []) => multiplyDims(elementCount(q), w[1] ?? 0)),
  },
  {
    name: "MatMulInteger16",
    reason: "is quantized already",
    infer(site) {
      const isUnsigned = site.inputs.every((operand) => operand?.type === "uint16");
      return inferProduct(site, isUnsigned ? "uint32" : "int32");
    },
    weight: (_, site) => matmulWeight(site),
    cost: matmulCost,
  },
  {
    // An LSTM with quantized matrices (inputs × gates), which quantizes its inputs at every step.
    name: "DynamicQuantizeLSTM",
    reason: "is quantized already",
    infer(site) {
      const [x, r] = [site.inputs[0]?.dims, site.inputs[2]?.dims];
      const [length = 1, batch = 1] = x ?? [];
      const [directions = 1, hidden = 1] = r ?? [];
      const dims = x && r && [length, directions, batch, hidden];
      const state: Inferred = { type: "float32", dims: dims?.slice(1) };
      return [{ type: "float32" as const, dims }, state, state].slice(0, site.outputs);
    },
    parameters: [3],
    cost: (site) =>
      withDims(site, [0, 1, 2], (x = [], w = [], r = []) =>
        multiplyDims(elementCount(x.slice(0, 2)), addDims(elementCount(w), elementCount(r))),
      ),
  },
  {
    // Extracts sliding windows along an axis. The axis then counts windows; a new last axis contains their elements.
    name: "UnfoldTensor",
    reason: "extracts sliding windows of an axis",
    needsFloat32: () => "ONNX Runtime has no kernel for it in float16",
    infer: (site) =>
      inferShape(site, (dims) => {
        const [size, step] = [readInteger(site, "size", 1), readInteger(site, "step", 1)];
        const axis = wrapAxis(readInteger(site, "dim", -1), dims.length);
        const windows = addDims(floorDims(addDims(dims[axis] ?? size, -size), step), 1);
        return [...dims.with(axis, windows), size];
      }),
  },
  {
    name: "Unique",
    reason: "its result depends on its data",
    infer(site) {
      const { type } = requireInput(site, 0);
      const dims = [site.open(0, 0)];
      const counts = { type: "int64", dims } as const;
      return [{ type, dims }, counts, counts].slice(0, site.outputs);
    },
  },
  { name: "Inverse", reason: "inverts matrices", infer: (site) => sameAsInput(site) },
  { name: "NGramRepeatBlock", reason: "masks repeated n-grams", infer: (site) => sameAsInput(site, 1) },
  {
    name: "CDist",
    reason: "measures distances",
    infer: (site) => inferShape(site, ([rows = 1] = [], [columns = 1] = []) => [rows, columns], undefined, [0, 1]),
  },
  {
    name: "CropAndResize",
    reason: "crops boxes from images",
    infer(site) {
      const [height = site.open(0, 2), width = site.open(0, 3)] = constantIntegersOf(site.inputs[3]) ?? [];
      const croppedDims = ([, channels = 1]: readonly Dim[] = [], [boxes = 1]: readonly Dim[] = []) => [
        boxes,
        channels,
        height,
        width,
      ];
      return inferShape(site, croppedDims, undefined, [0, 1]);
    },
    axes: linkChannels,
  },
  { name: "MaxpoolWithMask", reason: "pools under a mask", infer: inferPool },
];

const blockedLayout =
  "its channels are stored in blocks for one kind of processor: optimize the model again in ONNX Runtime, at a graph optimization level below 'all'";

const inferGlobalPool = (site: Site) => inferShape(site, globalPoolDims);

const blockedRows: readonly Omit<Row, "reason">[] = [
  {
    // Rounds a number of channels that is not a multiple of 16 up to complete blocks, whose size depends on the processor.
    name: "ReorderInput",
    infer: (site) =>
      inferShape(site, (x) => {
        const [batch = 1, channels, ...spatial] = readFlag(site, "channels_last") ? toChannelsFirst(x) : x;
        const isComplete = typeof channels === "number" && channels % 16 === 0;
        return [batch, isComplete ? channels : site.open(0, 1), ...spatial];
      }),
    inChannelBlocks(_, __, [x], block) {
      const reordered = blockedFormOf(x, block);
      return reordered && [reordered];
    },
  },
  {
    name: "ReorderOutput",
    infer: (site) =>
      inferShape(site, ([batch = 1, , ...spatial]) => {
        const channels = readInteger(site, "channels", 0);
        return readFlag(site, "channels_last") ? [batch, ...spatial, channels] : [batch, channels, ...spatial];
      }),
  },
  {
    name: "Upsample",
    infer(site) {
      const scales = readIntegers(site, "scales");
      if (scales === undefined) return new Miss("has no scales");
      return inferShape(site, (x) => x.map((dim, axis) => multiplyDims(dim, scales[axis] ?? 1)));
    },
  },
  {
    name: "Conv",
    infer: withSettings(readConv, (s, site) => inferConv(s, site)),
    cost: withSettings(readConv, convCost),
    parameters: [1, 2],
  },
  { name: "MaxPool", infer: inferPool },
  { name: "AveragePool", infer: inferPool },
  { name: "GlobalMaxPool", infer: inferGlobalPool },
  { name: "GlobalAveragePool", infer: inferGlobalPool },
];

function defineShapesOnly(domain: string, { reason, infer, cost, ...row }: Row): Op {
  const miss = new Miss(reason);
  return defineInert(miss, {
    weight: miss,
    lower: miss,
    ...row,
    domain,
    infer: (_, site) => infer(site),
    ...(cost === undefined ? {} : { cost: (_: null, site: Site) => cost(site) }),
  });
}

export const shapesOnlyOperators: readonly Op[] = [
  ...microsoftRows.map((row) => defineShapesOnly("com.microsoft", row)),
  ...blockedRows.map((row) => defineShapesOnly("com.microsoft.nchwc", { ...row, reason: blockedLayout })),
];
