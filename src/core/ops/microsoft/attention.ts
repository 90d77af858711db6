/**
 * Attention as ONNX Runtime fuses it: Attention (projects Q, K and V by one matrix), MultiHeadAttention (without projection), QAttention (8 bits).
 * The operators output past and new keys and values together as `present`.
 */
import { addDims, type Dim, type Emit, elementCount, Miss, multiplyDims, type Value } from "#graph";
import type { Inferred, Operand, Site } from "../define.ts";
import { readFlag, readFloat, readInteger, readIntegers } from "../shared/attributes.ts";
import { appendToPast, mergeHeads, splitHeads } from "../shared/heads.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { lowerFirst, quantizedAlready } from "../shared/misses.ts";
import { dimsAt, range, requireInput, scalar, withDims } from "../shared/shapes.ts";
import { writeDequantize } from "../shared/write-quantize.ts";
import { attentionMacs, writeAttention, writeMaskBias } from "./attend.ts";

const unknownMatrix = new Miss("the width of its matrix is not known");
const sharedBuffer = new Miss("its past and its present share a buffer");
const packedInputs = new Miss("queries, keys and values are packed into one");
const fusedProjection = new Miss(`projects and attends in one node: ${lowerFirst}`);
const mixesHeads = new Miss(`splits its channels into heads: ${lowerFirst}`);

interface Settings {
  readonly heads: number;
  /** The factor of the scores; 0 means 1/√width of a head. */
  readonly scale: number;
  readonly maskValue: number;
  readonly isCausal: boolean;
  readonly outputs: number;
}

function readSettings(site: Site): Settings {
  return {
    heads: readInteger(site, "num_heads", 1),
    scale: readFloat(site, "scale", 0),
    maskValue: readFloat(site, "mask_filter_value", -10000),
    isCausal: readFlag(site, "unidirectional"),
    outputs: site.outputs,
  };
}

const scaleOf = (s: Settings, width: number): number => (s.scale === 0 ? 1 / Math.sqrt(width) : s.scale);

/** Indices of optional inputs, in which Attention and QAttention differ. */
interface Ports {
  readonly mask: number;
  readonly past: number;
  readonly added: number | undefined;
}

interface ProjectedSettings extends Settings {
  /** The channels of Q, K and V, over all heads. */
  readonly widths: readonly [number, number, number] | undefined;
  readonly sharesBuffer: boolean;
  readonly appliesRotary: boolean;
}

function readProjected(site: Site): ProjectedSettings {
  const columns = site.inputs[1]?.dims?.[1];
  const sizes = readIntegers(site, "qkv_hidden_sizes");
  const columnsPerPart = typeof columns === "number" ? columns / 3 : undefined;
  const [q, k, v] = sizes ?? [columnsPerPart, columnsPerPart, columnsPerPart];
  return {
    ...readSettings(site),
    widths: q === undefined || k === undefined || v === undefined ? undefined : [q, k, v],
    sharesBuffer: readFlag(site, "past_present_share_buffer"),
    appliesRotary: readFlag(site, "do_rotary"),
  };
}

function inferProjected(
  s: ProjectedSettings,
  site: Site,
  ports: Ports,
  type: Operand["type"],
): readonly Inferred[] | Miss {
  const x = dimsAt(site, 0);
  if (x instanceof Miss) return range(site.outputs).map(() => ({ type, dims: undefined }));
  if (x.length !== 3) return new Miss("its data does not have three axes");
  if (s.widths === undefined) return unknownMatrix;
  const [batch = 1, length = 1] = x;
  const past = pastLength(site, ports.past, 3);
  const total = past === undefined || s.sharesBuffer ? past : addDims(past, length);
  const present = total === undefined ? undefined : [2, batch, s.heads, total, s.widths[1] / s.heads];
  return [
    { type, dims: [batch, length, s.widths[2]] },
    { type, dims: present },
  ].slice(0, site.outputs);
}

/** Returns the number of past keys: 0 without the input, undefined if unknown. */
const pastLength = (site: Site, input: number, axis: number): Dim | undefined =>
  site.inputs[input] === undefined ? 0 : site.inputs[input]?.dims?.[axis];

const projectedCost = (s: ProjectedSettings, site: Site, ports: Ports): Dim | Miss =>
  withDims(site, [0, 1], (x = [], w = []) => {
    if (s.widths === undefined) return unknownMatrix;
    const past = pastLength(site, ports.past, 3);
    if (past === undefined) return new Miss("the length of its past is not known");
    const [batch = 1, length = 1] = x;
    const products = attentionMacs({ batch, length, width: s.widths[0] }, addDims(past, length), s.widths[2]);
    return addDims(multiplyDims(elementCount(x), w[1] ?? 0), products);
  });

/** Writes attention whose Q, K and V are the columns of x · W + b. */
function writeProjected(
  s: ProjectedSettings,
  emit: Emit,
  x: Value,
  w: Value | undefined,
  bias: Value | undefined,
  optionalInputs: Readonly<Record<"mask" | "past" | "added", Value | undefined>>,
): readonly Value[] | Miss {
  if (s.widths === undefined) return unknownMatrix;
  if (s.sharesBuffer) return sharedBuffer;
  if (s.appliesRotary) return new Miss("applies the rotary embedding inside");
  const product = emit.MatMul([x, w]);
  const projection = bias === undefined ? product : emit.Add([product, bias]);
  const [q, k, v] = emit.many("Split", [projection, s.widths], { axis: 2 }, 3);
  const [query, newKey, newValue] = [
    splitHeads(emit, q, s.heads),
    splitHeads(emit, k, s.heads),
    splitHeads(emit, v, s.heads),
  ];
  const pastHeads = (index: number): Value | undefined =>
    optionalInputs.past && emit.Gather([optionalInputs.past, scalar(emit, "int64", index)]);
  const [pastKey, pastValue] = [pastHeads(0), pastHeads(1)];
  const [key, value] = [appendToPast(emit, pastKey, newKey), appendToPast(emit, pastValue, newValue)];
  const mask = optionalInputs.mask && writeMaskBias(emit, optionalInputs.mask, key, s.maskValue);
  if (mask instanceof Miss) return mask;
  const added = [optionalInputs.added, mask].filter((bias) => bias !== undefined);
  const scale = scaleOf(s, s.widths[0] / s.heads);
  const { y } = writeAttention(emit, {
    query,
    key,
    value,
    scale,
    added,
    causal: s.isCausal ? { past: pastKey } : undefined,
  });
  if (s.outputs < 2) return [mergeHeads(emit, y)];
  const parts = [emit.Unsqueeze([key, [0]]), emit.Unsqueeze([value, [0]])];
  return [mergeHeads(emit, y), emit.Concat(parts, { axis: 0 })];
}

const attentionPorts: Ports = { mask: 3, past: 4, added: 5 };

export const Attention = defineMicrosoftOp<ProjectedSettings>({
  name: "Attention",
  read: readProjected,
  infer: (s, site) => inferProjected(s, site, attentionPorts, requireInput(site, 0).type),
  parameters: [1, 2],
  weight: fusedProjection,
  axes: mixesHeads,
  lower: (s, emit, [x, w, bias, mask, past, added]) => writeProjected(s, emit, x, w, bias, { mask, past, added }),
  cost: (s, site) => projectedCost(s, site, attentionPorts),
  quantize: fusedProjection,
});

const quantizedPorts: Ports = { mask: 5, past: 8, added: undefined };

/** The matrix can have one scale per column. */
export const QAttention = defineMicrosoftOp<ProjectedSettings>({
  name: "QAttention",
  read: readProjected,
  infer: (s, site) => inferProjected(s, site, quantizedPorts, site.inputs[3]?.type ?? "float32"),
  weight: new Miss("is quantized already, and projects and attends in one node"),
  axes: quantizedAlready,
  lower: (s, emit, [x, w, bias, xScale, wScale, mask, xZero, wZero, past]) => {
    const data = writeDequantize(emit, x, xScale, xZero);
    const matrix = writeDequantize(emit, w, wScale, wZero);
    return writeProjected(s, emit, data, matrix, bias, { mask, past, added: undefined });
  },
  gradient: new Miss("its input is integers"),
  cost: (s, site) => projectedCost(s, site, quantizedPorts),
  quantize: quantizedAlready,
});

interface SeparateSettings extends Settings {
  readonly sharesBuffer: boolean;
}

/** `width` counts the channels of one query head, `valueWidth` the value channels of all heads. */
function separateShapes(s: SeparateSettings, site: Site) {
  const [q, k, v] = [dimsAt(site, 0), dimsAt(site, 1), dimsAt(site, 2)];
  if (q instanceof Miss) return q;
  if (k instanceof Miss || v instanceof Miss) return packedInputs;
  if (q.length !== 3) return new Miss("its queries do not have three axes");
  const [batch = 1, length = 1, channels] = q;
  const hasHeadAxis = k.length === 4;
  const valueWidth = hasHeadAxis ? v[3] : v[2];
  const past = pastLength(site, 6, 2);
  const keys = hasHeadAxis ? k[2] : k[1];
  if (typeof channels !== "number" || typeof valueWidth !== "number" || past === undefined || keys === undefined)
    return new Miss("the width of queries or values is not known");
  return {
    batch,
    length,
    total: s.sharesBuffer ? past : addDims(past, keys),
    width: channels / s.heads,
    valueWidth: hasHeadAxis ? valueWidth * s.heads : valueWidth,
  };
}

export const MultiHeadAttention = defineMicrosoftOp<SeparateSettings>({
  name: "MultiHeadAttention",
  read: (site) => ({ ...readSettings(site), sharesBuffer: site.inputs[8] !== undefined }),
  infer: (s, site) => {
    const { type } = requireInput(site, 0);
    const shapes = separateShapes(s, site);
    if (shapes instanceof Miss) return shapes;
    const { batch, length, total, width, valueWidth } = shapes;
    const present = (size: number): Inferred => ({ type, dims: [batch, s.heads, total, size] });
    return [
      { type, dims: [batch, length, valueWidth] },
      present(width),
      present(valueWidth / s.heads),
      { type, dims: [batch, s.heads, length, total] },
    ].slice(0, site.outputs);
  },
  parameters: [3],
  axes: mixesHeads,
  lower: (s, emit, [q, k, v, bias, mask, added, pastKey, pastValue]) => {
    if (q === undefined || k === undefined || v === undefined) return packedInputs;
    if (s.sharesBuffer) return sharedBuffer;
    const [width, keyRank, valueDims] = [q.type?.dims?.[2], k.type?.dims?.length, v.type?.dims];
    if (typeof width !== "number" || valueDims === undefined || q.type?.dims?.length !== 3)
      return new Miss("the width of its queries is not known");
    const hasHeadAxis = keyRank === 4;
    if (hasHeadAxis && bias !== undefined) return new Miss("adds a bias to keys that come as heads");
    const valueWidth = valueDims[2];
    if (bias !== undefined && typeof valueWidth !== "number") return new Miss("the width of its values is not known");
    const biases =
      bias && typeof valueWidth === "number"
        ? emit.many("Split", [bias, [width, width, valueWidth]], { axis: 0 }, 3)
        : undefined;
    const [query = q, key = k, value = v] = biases?.map((part, index) => emit.Add([[q, k, v][index], part])) ?? [];
    const toKeyHeads = (part: Value): Value => (hasHeadAxis ? part : splitHeads(emit, part, s.heads));
    const [keys, values] = [
      appendToPast(emit, pastKey, toKeyHeads(key)),
      appendToPast(emit, pastValue, toKeyHeads(value)),
    ];
    const maskBias = mask && writeMaskBias(emit, mask, keys, s.maskValue);
    if (maskBias instanceof Miss) return maskBias;
    const { y, weights } = writeAttention(emit, {
      query: splitHeads(emit, query, s.heads),
      key: keys,
      value: values,
      scale: scaleOf(s, width / s.heads),
      added: [added, maskBias].filter((bias) => bias !== undefined),
      causal: s.isCausal ? { past: pastKey } : undefined,
    });
    return [mergeHeads(emit, y), keys, values, weights].slice(0, s.outputs);
  },
  cost: (s, site) => {
    const shapes = separateShapes(s, site);
    if (shapes instanceof Miss) return shapes;
    return attentionMacs({ ...shapes, width: shapes.width * s.heads }, shapes.total, shapes.valueWidth);
  },
});
