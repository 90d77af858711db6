/**
 * Attention as ONNX Runtime fuses it: Attention (Q, K and V projected by one matrix), MultiHeadAttention (already projected), QAttention (8-bit).
 * Past keys and values come first; both are returned as `present`.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { addDims, type Dim, elementCount, multiplyDims } from "../../tensor/dims.ts";
import type { Inferred, Operand, Site } from "../define.ts";
import { decimal, integer, integers } from "../shared/attributes.ts";
import { decoded } from "../shared/codes.ts";
import { fromHeads, toHeads } from "../shared/heads.ts";
import { microsoftOp } from "../shared/inert.ts";
import { lowerFirst, quantizedAlready } from "../shared/misses.ts";
import { dimsAt, need, range, scalar, withDims } from "../shared/rules.ts";
import { attend, attentionMacs, behind, maskAdded } from "./attend.ts";

const fused = new Miss(`projects and attends in one node: ${lowerFirst}`);
const mixes = new Miss(`splits its channels into heads: ${lowerFirst}`);

interface Settings {
  readonly heads: number;
  /** 0: 1/√width. */
  readonly scale: number;
  readonly filter: number;
  readonly causal: boolean;
  readonly outputs: number;
}

function readCommon(site: Site): Settings {
  return {
    heads: integer(site, "num_heads", 1),
    scale: decimal(site, "scale", 0),
    filter: decimal(site, "mask_filter_value", -10000),
    causal: integer(site, "unidirectional", 0) !== 0,
    outputs: site.outputs,
  };
}

const scaleOf = (s: Settings, width: number): number => (s.scale === 0 ? 1 / Math.sqrt(width) : s.scale);

interface Ports {
  readonly mask: number;
  readonly past: number;
  readonly added: number | undefined;
}

interface ProjectedSettings extends Settings {
  readonly widths: readonly [number, number, number] | undefined;
  readonly shared: boolean;
  readonly rotary: boolean;
}

function readProjected(site: Site): ProjectedSettings {
  const columns = site.inputs[1]?.dims?.[1];
  const sizes = integers(site, "qkv_hidden_sizes");
  const third = typeof columns === "number" ? columns / 3 : undefined;
  const [q, k, v] = sizes ?? [third, third, third];
  return {
    ...readCommon(site),
    widths: q === undefined || k === undefined || v === undefined ? undefined : [q, k, v],
    shared: integer(site, "past_present_share_buffer", 0) !== 0,
    rotary: integer(site, "do_rotary", 0) !== 0,
  };
}

function projectedTypes(
  s: ProjectedSettings,
  site: Site,
  ports: Ports,
  type: Operand["type"],
): readonly Inferred[] | Miss {
  const x = dimsAt(site, 0);
  if (x instanceof Miss) return range(site.outputs).map(() => ({ type, dims: undefined }));
  if (x.length !== 3) return new Miss("its data does not have three axes");
  if (s.widths === undefined) return new Miss("the width of its matrix is not known");
  const [batch, length] = x as [Dim, Dim];
  const past = site.inputs[ports.past]?.dims;
  const width = s.widths[1] / s.heads;
  const before = site.inputs[ports.past] === undefined ? 0 : past?.[3];
  const total = s.shared ? past?.[3] : before === undefined ? undefined : addDims(before, length);
  return [
    { type, dims: [batch, length, s.widths[2]] },
    { type, dims: total === undefined ? undefined : [2, batch, s.heads, total, width] },
  ].slice(0, site.outputs);
}

const projectedCost = (s: ProjectedSettings, site: Site, ports: Ports): Dim | Miss =>
  withDims(site, [0, 1], (x = [], w = []) => {
    if (s.widths === undefined) return new Miss("the width of its matrix is not known");
    const past = site.inputs[ports.past] === undefined ? 0 : site.inputs[ports.past]?.dims?.[3];
    if (past === undefined) return new Miss("the length of its past is not known");
    const [batch = 1, length = 1] = x;
    const parts = attentionMacs({ batch, length, width: s.widths[0] }, addDims(past, length), s.widths[2]);
    return addDims(multiplyDims(elementCount(x), w[1] ?? 0), parts);
  });

/** Writes x · W + b, whose columns are those of Q, K and V. */
function project(
  s: ProjectedSettings,
  emit: Emit,
  x: Value,
  w: Value | undefined,
  bias: Value | undefined,
  rest: Readonly<Record<"mask" | "past" | "added", Value | undefined>>,
): readonly Value[] | Miss {
  if (s.widths === undefined) return new Miss("the width of its matrix is not known");
  if (s.shared) return new Miss("its past and its present share a buffer");
  if (s.rotary) return new Miss("applies the rotary embedding inside");
  const product = emit.MatMul([x, w]);
  const all = bias === undefined ? product : emit.Add([product, bias]);
  const [q, k, v] = emit.many("Split", [all, s.widths], { axis: 2 }, 3);
  const [query, newKey, newValue] = [toHeads(emit, q, s.heads), toHeads(emit, k, s.heads), toHeads(emit, v, s.heads)];
  const part = (index: number): Value | undefined =>
    rest.past && emit.Gather([rest.past, scalar(emit, "int64", index)]);
  const [pastKey, pastValue] = [part(0), part(1)];
  const [key, value] = [behind(emit, pastKey, newKey), behind(emit, pastValue, newValue)];
  const mask = rest.mask === undefined ? undefined : maskAdded(emit, rest.mask, key, s.filter);
  if (mask instanceof Miss) return mask;
  const added = [rest.added, mask].filter((one) => one !== undefined);
  const scale = scaleOf(s, s.widths[0] / s.heads);
  const { y } = attend(emit, { query, key, value, scale, added, causal: s.causal ? { past: pastKey } : undefined });
  if (s.outputs < 2) return [fromHeads(emit, y)];
  const raised = (part: Value): Value => emit.Unsqueeze([part, [0]]);
  return [fromHeads(emit, y), emit.Concat([raised(key), raised(value)], { axis: 0 })];
}

const plain: Ports = { mask: 3, past: 4, added: 5 };

export const Attention = microsoftOp<ProjectedSettings>({
  name: "Attention",
  read: readProjected,
  infer: (s, site) => projectedTypes(s, site, plain, need(site, 0).type),
  parameters: [1, 2],
  weight: fused,
  axes: mixes,
  lower: (s, emit, [x, w, bias, mask, past, added]) => project(s, emit, x, w, bias, { mask, past, added }),
  cost: (s, site) => projectedCost(s, site, plain),
  quantize: fused,
});

const coded: Ports = { mask: 5, past: 8, added: undefined };

/** Data and matrix are 8-bit; the matrix can have one scale per column. */
export const QAttention = microsoftOp<ProjectedSettings>({
  name: "QAttention",
  read: readProjected,
  infer: (s, site) => projectedTypes(s, site, coded, site.inputs[3]?.type ?? "float32"),
  weight: new Miss("is quantized already, and projects and attends in one node"),
  axes: quantizedAlready,
  lower: (s, emit, [x, w, bias, xScale, wScale, mask, xZero, wZero, past]) => {
    const data = decoded(emit, x, xScale, xZero);
    const matrix = decoded(emit, w, wScale, wZero);
    return project(s, emit, data, matrix, bias, { mask, past, added: undefined });
  },
  gradient: new Miss("its input is integers"),
  cost: (s, site) => projectedCost(s, site, coded),
  quantize: quantizedAlready,
});

interface SeparateSettings extends Settings {
  readonly shared: boolean;
}

function separate(s: SeparateSettings, site: Site) {
  const [q, k, v] = [dimsAt(site, 0), dimsAt(site, 1), dimsAt(site, 2)];
  if (q instanceof Miss) return q;
  if (k instanceof Miss || v instanceof Miss) return new Miss("queries, keys and values are packed into one");
  if (q.length !== 3) return new Miss("its queries do not have three axes");
  const heads = k.length === 4;
  const width = typeof q[2] === "number" ? q[2] / s.heads : undefined;
  const valueWidth = heads ? v[3] : v[2];
  const past = site.inputs[6] === undefined ? 0 : site.inputs[6]?.dims?.[2];
  const length = heads ? k[2] : k[1];
  if (width === undefined || typeof valueWidth !== "number" || past === undefined || length === undefined)
    return new Miss("the width of queries or values is not known");
  const all = heads ? valueWidth * s.heads : valueWidth;
  const total = s.shared ? past : addDims(past, length);
  return { batch: q[0] as Dim, length: q[1] as Dim, total, width, valueWidth: all };
}

function biased(emit: Emit, values: readonly Value[], bias: Value, widths: readonly number[]): readonly Value[] {
  const parts = emit.many("Split", [bias, widths], { axis: 0 }, values.length);
  return values.map((value, index) => emit.Add([value, parts[index]]));
}

export const MultiHeadAttention = microsoftOp<SeparateSettings>({
  name: "MultiHeadAttention",
  read: (site) => ({ ...readCommon(site), shared: site.inputs[8] !== undefined }),
  infer: (s, site) => {
    const { type } = need(site, 0);
    const found = separate(s, site);
    if (found instanceof Miss) return found;
    const { batch, length, total, width, valueWidth } = found;
    const present = (own: number): Inferred => ({ type, dims: [batch, s.heads, total, own] });
    return [
      { type, dims: [batch, length, valueWidth] },
      present(width),
      present(valueWidth / s.heads),
      { type, dims: [batch, s.heads, length, total] },
    ].slice(0, site.outputs);
  },
  parameters: [3],
  axes: mixes,
  lower: (s, emit, [q, k, v, bias, mask, added, pastKey, pastValue]) => {
    if (q === undefined || k === undefined || v === undefined)
      return new Miss("queries, keys and values are packed into one");
    if (s.shared) return new Miss("its past and its present share a buffer");
    const [width, keyRank, valueDims] = [q.type?.dims?.[2], k.type?.dims?.length, v.type?.dims];
    if (typeof width !== "number" || valueDims === undefined || q.type?.dims?.length !== 3)
      return new Miss("the width of its queries is not known");
    const projected = keyRank === 4;
    if (projected && bias !== undefined) return new Miss("adds a bias to keys that come as heads");
    const valueWidth = valueDims[2];
    if (bias !== undefined && typeof valueWidth !== "number") return new Miss("the width of its values is not known");
    const [query = q, key = k, value = v] =
      bias === undefined || typeof valueWidth !== "number"
        ? []
        : biased(emit, [q, k, v], bias, [width, width, valueWidth]);
    const heads = (part: Value): Value => (projected ? part : toHeads(emit, part, s.heads));
    const [keys, values] = [behind(emit, pastKey, heads(key)), behind(emit, pastValue, heads(value))];
    const extra = mask === undefined ? undefined : maskAdded(emit, mask, keys, s.filter);
    if (extra instanceof Miss) return extra;
    const { y, weights } = attend(emit, {
      query: toHeads(emit, query, s.heads),
      key: keys,
      value: values,
      scale: scaleOf(s, width / s.heads),
      added: [added, extra].filter((one) => one !== undefined),
      causal: s.causal ? { past: pastKey } : undefined,
    });
    return [fromHeads(emit, y), keys, values, weights].slice(0, s.outputs);
  },
  cost: (s, site) => {
    const found = separate(s, site);
    if (found instanceof Miss) return found;
    const { batch, length, total, width, valueWidth } = found;
    return attentionMacs({ batch, length, width: width * s.heads }, total, valueWidth);
  },
});
