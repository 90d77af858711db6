/**
 * Attention over several heads: Y = softmax(scale · Q·Kᵀ + bias) · V. Q: batch × heads × queries × D, K and V: batch × key heads × keys × D;
 * or three axes with heads and D merged. Each key head serves heads / key heads query heads. Past keys and values come first.
 * The bias is the mask (true: attended), causality (query i sees key j ≤ i + past) and padding; a query that sees no key gets 0.
 * `softcap` c limits products to c · tanh(x / c) before the bias.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { addDims, type Dim, divideDims, elementCount, multiplyDims } from "../tensor/dims.ts";
import { type DataType, typeCodes } from "../tensor/types.ts";
import {
  type AxisEnd,
  type AxisLink,
  type AxisRule,
  defineOp,
  type Inferred,
  type Inputs,
  type NodeChange,
  type Site,
} from "./define.ts";
import { decimal, elementType, flag, integer } from "./shared/attributes.ts";
import { appendTo, capScores, fromHeads, toHeads } from "./shared/heads.ts";
import { integersConstant, need, range, requireValue, scalar, typeOf } from "./shared/rules.ts";

interface Settings {
  readonly flat: boolean;
  readonly heads: number;
  readonly keyHeads: number;
  readonly scale: number | undefined;
  readonly softcap: number;
  readonly causal: boolean;
  /** The number of keys before and after its own position that a query sees; -1: all. */
  readonly window: readonly [before: number, after: number];
  /** The content of the fourth output: 0 products, 1 after softcap, 2 with bias, 3 after softmax. */
  readonly shown: number;
  readonly precision: DataType | undefined;
}

function read(site: Site): Settings | Miss {
  const [q, k] = [site.inputs[0]?.dims, site.inputs[1]?.dims];
  if (q === undefined || k === undefined) return new Miss("the rank of an operand is not known");
  const flat = q.length === 3;
  const heads = flat ? integer(site, "q_num_heads", 0) : q[1];
  const keyHeads = flat ? integer(site, "kv_num_heads", 0) : k[1];
  if (typeof heads !== "number" || typeof keyHeads !== "number" || heads === 0 || keyHeads === 0)
    return new Miss("the number of heads is not known");
  return {
    flat,
    heads,
    keyHeads,
    scale: decimal(site, "scale", undefined),
    softcap: decimal(site, "softcap", 0),
    causal: flag(site, "is_causal"),
    window: [integer(site, "left_window_size", -1), integer(site, "right_window_size", -1)],
    shown: integer(site, "qk_matmul_output_mode", 0),
    precision: elementType(site, "softmax_precision"),
  };
}

interface Shape {
  readonly batch: Dim;
  readonly length: Dim;
  /** The channels of a head. */
  readonly size: Dim;
}

function shapeOf(s: Settings, dims: readonly Dim[] | undefined, heads: number): Shape | undefined {
  const [batch, second, third, fourth] = dims ?? [];
  if (batch === undefined || second === undefined || third === undefined) return undefined;
  if (!s.flat) return fourth === undefined ? undefined : { batch, length: third, size: fourth };
  const size = divideDims(third, heads);
  return size === undefined ? undefined : { batch, length: second, size };
}

interface Shapes {
  readonly q: Shape;
  readonly k: Shape;
  readonly v: Shape;
  /** The number of keys, including those of the past. */
  readonly keys: Dim;
}

const unknownSize = new Miss("the size of its heads is not known");

function shapes(s: Settings, operands: readonly (readonly Dim[] | undefined)[]): Shapes | Miss {
  const q = shapeOf(s, operands[0], s.heads);
  const [k, v] = [shapeOf(s, operands[1], s.keyHeads), shapeOf(s, operands[2], s.keyHeads)];
  if (q === undefined || k === undefined || v === undefined) return unknownSize;
  const past = operands[4]?.[2];
  return { q, k, v, keys: past === undefined ? k.length : addDims(past, k.length) };
}

const shapesAt = (s: Settings, site: Site): Shapes | Miss =>
  shapes(
    s,
    site.inputs.map((operand) => operand?.dims),
  );

function infer(s: Settings, site: Site): readonly Inferred[] | Miss {
  const { type } = need(site, 0);
  const operands = shapesAt(s, site);
  if (operands instanceof Miss) return operands;
  const { q, k, v, keys } = operands;
  return [
    { type, dims: s.flat ? [q.batch, q.length, multiplyDims(v.size, s.heads)] : [q.batch, s.heads, q.length, v.size] },
    { type: need(site, 1).type, dims: [q.batch, s.keyHeads, keys, k.size] },
    { type: need(site, 2).type, dims: [q.batch, s.keyHeads, keys, v.size] },
    { type, dims: [q.batch, s.heads, q.length, keys] },
  ];
}

/**
 * Heads are cut as a whole: a key head with all query heads that it serves. With four axes, D of queries and keys is summed over
 * (the scale stays that of the original D), and D of the values passes through.
 */
function axes(s: Settings, site: Site): AxisRule | Miss {
  const operands = shapesAt(s, site);
  if (operands instanceof Miss) return operands;
  const { q, k, v } = operands;
  const serves = s.heads / s.keyHeads;
  const [width, keyWidth, valueWidth] = s.flat ? [q.size, k.size, v.size] : [1, 1, 1];
  if (typeof width !== "number" || typeof keyWidth !== "number" || typeof valueWidth !== "number") return unknownSize;
  const mask = site.inputs[3]?.dims ?? [];
  const maskHeads = mask.length - 3;
  const main = s.flat ? 2 : 1;
  const first: AxisEnd = ["in2", main];
  // Each axis that counts heads, and its number of indices per key head.
  const counted: (readonly [AxisEnd, number])[] = [
    [first, valueWidth],
    [["in1", main], keyWidth],
    [["in0", main], serves * width],
    [["out0", main], serves * valueWidth],
    [["out3", 1], serves],
    ...(["in4", "in5", "out1", "out2"] as const).map((port) => [[port, 1], 1] as const),
  ];
  const samples = (["in1", "in2", "in4", "in5", "in6", "out0", "out1", "out2", "out3"] as const).map(
    (port): AxisEnd => [port, 0],
  );
  if (maskHeads >= 0 && mask[maskHeads] !== 1) counted.push([["in3", maskHeads], serves]);
  if (mask.length === 4 && mask[0] !== 1) samples.push(["in3", 0]);
  const links: AxisLink[] = samples.map((to) => ({ from: ["in0", 0], to }));
  for (const [to, per] of counted) {
    if (per > 1) links.push({ from: to, to, map: (index) => range(per, Math.floor(index / per) * per) });
    if (to !== first) links.push({ from: first, to, map: (index) => range(per, Math.floor(index / valueWidth) * per) });
  }
  if (!s.flat) links.push(...insideHeads);
  return {
    links,
    resize: (cut): NodeChange => {
      const [size, channels] = [cut.dims("in0")[3], cut.dims("in2")[main]];
      const needsScale = !s.flat && s.scale === undefined && typeof q.size === "number" && size !== q.size;
      const scale = needsScale ? ({ scale: { kind: "float", value: 1 / Math.sqrt(q.size) } } as const) : {};
      if (typeof channels !== "number" || site.attribute("q_num_heads") === undefined) return { attributes: scale };
      const keyHeads = channels / valueWidth;
      return {
        attributes: {
          ...scale,
          q_num_heads: { kind: "int", value: keyHeads * serves },
          kv_num_heads: { kind: "int", value: keyHeads },
        },
      };
    },
  };
}

const insideHeads = (
  [
    ["in0", "in1"],
    ["in2", "out0"],
    ["in1", "in4"],
    ["in2", "in5"],
    ["in1", "out1"],
    ["in2", "out2"],
  ] as const
).map(([from, to]): AxisLink => ({ from: [from, 3], to: [to, 3] }));

function countAlongAxis(emit: Emit, like: Value, axis: number, size: Dim, shape: readonly number[]): Value {
  const numbers =
    typeof size === "number"
      ? integersConstant(emit, range(size), "positions")
      : emit.Range([0, emit.Squeeze([emit.Shape([like], { start: axis, end: axis + 1 })]), 1]);
  return emit.Reshape([numbers, shape]);
}

/** Writes the sum of all biases; `canBeEmpty` if a query can be without any key. */
function writeBias(
  s: Settings,
  emit: Emit,
  [, , , mask, past, , lengths]: readonly (Value | undefined)[],
  { q, k, length, keys }: { readonly q: Value; readonly k: Value; readonly length: Dim; readonly keys: Dim },
): { readonly sum: Value; readonly canBeEmpty: boolean } | undefined {
  const type = typeOf(q);
  const zero = scalar(emit, type, 0);
  const never = scalar(emit, type, Number.NEGATIVE_INFINITY);
  const where = (allowed: Value): Value => emit.Where([allowed, zero, never]);
  const terms: Value[] = [];
  if (mask !== undefined) terms.push(typeOf(mask) === "bool" ? where(mask) : mask);
  const [before, after] = s.window;
  const perSample = lengths === undefined ? undefined : emit.Reshape([lengths, [-1, 1, 1, 1]]);
  const columns = (): Value => countAlongAxis(emit, k, 2, keys, [1, -1]);
  if (s.causal || before >= 0 || after >= 0) {
    const rows = countAlongAxis(emit, q, 2, length, [-1, 1]);
    const count = (value: Value): Value => emit.Shape([value], { start: 2, end: 3 });
    const offset =
      past !== undefined ? count(past) : perSample === undefined ? undefined : emit.Sub([perSample, count(q)]);
    const distance = emit.Sub([offset === undefined ? rows : emit.Add([rows, offset]), columns()]);
    if (s.causal) terms.push(where(emit.GreaterOrEqual([distance, 0])));
    if (before >= 0) terms.push(where(emit.LessOrEqual([distance, before])));
    if (after >= 0) terms.push(where(emit.GreaterOrEqual([distance, -after])));
  }
  if (perSample !== undefined) terms.push(where(emit.Less([columns(), perSample])));
  const [first, ...more] = terms;
  if (first === undefined) return undefined;
  const canBeEmpty = mask !== undefined || perSample !== undefined || before >= 0 || after >= 0;
  return { sum: more.reduce((sum, term) => emit.Add([sum, term]), first), canBeEmpty };
}

/** Repeats each key head for the query heads that it serves. */
function repeatHeads(s: Settings, emit: Emit, value: Value, size: Dim): Value | Miss {
  const serves = s.heads / s.keyHeads;
  if (serves === 1) return value;
  if (typeof size !== "number") return unknownSize;
  const expanded = emit.Expand([emit.Unsqueeze([value, [2]]), [1, 1, serves, 1, 1]]);
  return emit.Reshape([expanded, [0, s.heads, -1, size]]);
}

function softmax(emit: Emit, scores: Value, precision: DataType | undefined): Value {
  if (precision === undefined || precision === typeOf(scores)) return emit.Softmax([scores], { axis: -1 });
  return emit.CastLike([emit.Softmax([emit.Cast([scores], { to: typeCodes[precision] })], { axis: -1 }), scores]);
}

function lower(s: Settings, emit: Emit, inputs: Inputs): readonly Value[] | Miss {
  const [queries, keys, values, mask, pastKey, pastValue] = inputs;
  const dims = inputs.map((value) => value?.type?.dims);
  const operands = shapes(s, dims);
  if (operands instanceof Miss) return operands;
  const { size, length } = operands.q;
  if (typeof size !== "number") return unknownSize;
  const covered = mask?.type?.dims?.at(-1);
  if (typeof covered === "number" && typeof operands.keys === "number" && covered < operands.keys)
    return new Miss("its mask does not cover all keys");
  // Writes batch × heads × positions × D from either form.
  const split = (value: Value | undefined, heads: number): Value =>
    s.flat ? toHeads(emit, value, heads) : requireValue(value);
  const q = split(queries, s.heads);
  const presentKey = appendTo(emit, pastKey, split(keys, s.keyHeads));
  const presentValue = appendTo(emit, pastValue, split(values, s.keyHeads));
  const [k, v] = [repeatHeads(s, emit, presentKey, size), repeatHeads(s, emit, presentValue, operands.v.size)];
  if (k instanceof Miss) return k;
  if (v instanceof Miss) return v;
  // Both operands get the root of the scale, so that float16 products stay small.
  const root = Math.sqrt(s.scale ?? 1 / Math.sqrt(size));
  const transposed = emit.Transpose([emit.Mul([k, root])], { perm: [0, 1, 3, 2] });
  const products = emit.MatMul([emit.Mul([q, root]), transposed]);
  const capped = capScores(emit, products, s.softcap);
  const bias = writeBias(s, emit, inputs, { q, k: presentKey, length, keys: operands.keys });
  const scores = bias === undefined ? capped : emit.Add([capped, bias.sum]);
  const isEmpty =
    bias?.canBeEmpty === true
      ? emit.Equal([emit.ReduceMax([bias.sum, [-1]], { keepdims: 1 }), Number.NEGATIVE_INFINITY])
      : undefined;
  // Applied before the softmax, too: a row of -∞ gives NaN, also in the gradient.
  const clearEmpty = (value: Value): Value => (isEmpty === undefined ? value : emit.Where([isEmpty, 0, value]));
  const weights = clearEmpty(softmax(emit, clearEmpty(scores), s.precision));
  const y = emit.MatMul([weights, v]);
  const shown = [products, capped, scores, weights][s.shown] ?? products;
  return [s.flat ? fromHeads(emit, y) : y, presentKey, presentValue, shown];
}

export const Attention = defineOp<Settings>({
  name: "Attention",
  read,
  infer,
  axes,
  lower,
  cost: (s, site) => {
    const operands = shapesAt(s, site);
    if (operands instanceof Miss) return operands;
    const { q, v, keys } = operands;
    return multiplyDims(elementCount([q.batch, s.heads, q.length, keys]), addDims(q.size, v.size));
  },
});
