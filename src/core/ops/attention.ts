/**
 * Attention over several heads: Y = softmax(scale · Q·Kᵀ + bias) · V. Q is batch × heads × queries × D; K and V are batch × key heads × keys × D.
 * With three axes, heads and D are merged. Past keys and values precede the new ones. The bias combines the mask, causality (query i sees key
 * j ≤ i + past) and padding. `softcap` c limits products x to c · tanh(x / c) before the bias is added.
 */
import type { DataType, Dim, Emit, Value } from "#graph";
import { addDims, divideDims, elementCount, Miss, multiplyDims, typeCodes } from "#graph";
import type { AxisEnd, AxisLink, AxisRule, Inferred, Inputs, NodeChange, Site } from "./define.ts";
import { defineOp } from "./define.ts";
import { readElementType, readFlag, readFloat, readInteger } from "./shared/attributes.ts";
import { appendToPast, capScores, mergeHeads, splitHeads } from "./shared/heads.ts";
import { integersConstant, range, requireInput, requireValue, scalar, typeOf } from "./shared/shapes.ts";

interface Settings {
  /** Whether the last of three axes merges heads and D. */
  readonly hasMergedHeads: boolean;
  readonly heads: number;
  readonly keyHeads: number;
  readonly scale: number | undefined;
  readonly softcap: number;
  readonly isCausal: boolean;
  /** The number of keys that a query sees before and after its position. -1 means all keys. */
  readonly window: readonly [before: number, after: number];
  /** The content of the fourth output: 0 products, 1 after softcap, 2 with bias, 3 after softmax. */
  readonly scoreOutput: number;
  readonly precision: DataType | undefined;
}

function read(site: Site): Settings | Miss {
  const [q, k] = [site.inputs[0]?.dims, site.inputs[1]?.dims];
  if (q === undefined || k === undefined) return new Miss("the rank of an operand is not known");
  const hasMergedHeads = q.length === 3;
  const heads = hasMergedHeads ? readInteger(site, "q_num_heads", 0) : q[1];
  const keyHeads = hasMergedHeads ? readInteger(site, "kv_num_heads", 0) : k[1];
  if (typeof heads !== "number" || typeof keyHeads !== "number" || heads === 0 || keyHeads === 0)
    return new Miss("the number of heads is not known");
  return {
    hasMergedHeads,
    heads,
    keyHeads,
    scale: readFloat(site, "scale", undefined),
    softcap: readFloat(site, "softcap", 0),
    isCausal: readFlag(site, "is_causal"),
    window: [readInteger(site, "left_window_size", -1), readInteger(site, "right_window_size", -1)],
    scoreOutput: readInteger(site, "qk_matmul_output_mode", 0),
    precision: readElementType(site, "softmax_precision"),
  };
}

interface OperandShape {
  readonly batch: Dim;
  readonly length: Dim;
  readonly width: Dim;
}

function operandShapeOf(s: Settings, dims: readonly Dim[] | undefined, heads: number): OperandShape | undefined {
  const [batch, second, third, fourth] = dims ?? [];
  if (batch === undefined || second === undefined || third === undefined) return undefined;
  if (!s.hasMergedHeads) return fourth === undefined ? undefined : { batch, length: third, width: fourth };
  const size = divideDims(third, heads);
  return size === undefined ? undefined : { batch, length: second, width: size };
}

interface Shapes {
  readonly q: OperandShape;
  readonly k: OperandShape;
  readonly v: OperandShape;
  readonly keys: Dim;
}

const unknownWidth = new Miss("the size of its heads is not known");

function shapesOf(s: Settings, operands: readonly (readonly Dim[] | undefined)[]): Shapes | Miss {
  const q = operandShapeOf(s, operands[0], s.heads);
  const [k, v] = [operandShapeOf(s, operands[1], s.keyHeads), operandShapeOf(s, operands[2], s.keyHeads)];
  if (q === undefined || k === undefined || v === undefined) return unknownWidth;
  const past = operands[4]?.[2];
  return { q, k, v, keys: past === undefined ? k.length : addDims(past, k.length) };
}

const shapesOfSite = (s: Settings, site: Site): Shapes | Miss =>
  shapesOf(
    s,
    site.inputs.map((operand) => operand?.dims),
  );

function infer(s: Settings, site: Site): readonly Inferred[] | Miss {
  const { type } = requireInput(site, 0);
  const operands = shapesOfSite(s, site);
  if (operands instanceof Miss) return operands;
  const { q, k, v, keys } = operands;
  return [
    {
      type,
      dims: s.hasMergedHeads
        ? [q.batch, q.length, multiplyDims(v.width, s.heads)]
        : [q.batch, s.heads, q.length, v.width],
    },
    { type: requireInput(site, 1).type, dims: [q.batch, s.keyHeads, keys, k.width] },
    { type: requireInput(site, 2).type, dims: [q.batch, s.keyHeads, keys, v.width] },
    { type, dims: [q.batch, s.heads, q.length, keys] },
  ];
}

/** Links axes so that a key head is removed with all its channels and with the query heads that share it. */
function axes(s: Settings, site: Site): AxisRule | Miss {
  const operands = shapesOfSite(s, site);
  if (operands instanceof Miss) return operands;
  const { q, k, v } = operands;
  const queryHeads = s.heads / s.keyHeads;
  const [width, keyWidth, valueWidth] = s.hasMergedHeads ? [q.width, k.width, v.width] : [1, 1, 1];
  if (typeof width !== "number" || typeof keyWidth !== "number" || typeof valueWidth !== "number") return unknownWidth;
  const mask = site.inputs[3]?.dims ?? [];
  const maskHeads = mask.length - 3;
  const headAxis = s.hasMergedHeads ? 2 : 1;
  const valueHeads: AxisEnd = ["in2", headAxis];
  // Axes that count heads, with their number of indices per key head.
  const countedAxes: (readonly [AxisEnd, number])[] = [
    [valueHeads, valueWidth],
    [["in1", headAxis], keyWidth],
    [["in0", headAxis], queryHeads * width],
    [["out0", headAxis], queryHeads * valueWidth],
    [["out3", 1], queryHeads],
    ...(["in4", "in5", "out1", "out2"] as const).map((port) => [[port, 1], 1] as const),
  ];
  const batchEnds = (["in1", "in2", "in4", "in5", "in6", "out0", "out1", "out2", "out3"] as const).map(
    (port): AxisEnd => [port, 0],
  );
  if (maskHeads >= 0 && mask[maskHeads] !== 1) countedAxes.push([["in3", maskHeads], queryHeads]);
  if (mask.length === 4 && mask[0] !== 1) batchEnds.push(["in3", 0]);
  const links: AxisLink[] = batchEnds.map((to) => ({ from: ["in0", 0], to }));
  for (const [to, count] of countedAxes) {
    if (count > 1) links.push({ from: to, to, map: (index) => range(count, Math.floor(index / count) * count) });
    if (to !== valueHeads)
      links.push({ from: valueHeads, to, map: (index) => range(count, Math.floor(index / valueWidth) * count) });
  }
  if (!s.hasMergedHeads) links.push(...linksInsideHeads);
  return {
    links,
    resize: (removal): NodeChange => {
      const [size, channels] = [removal.dims("in0")[3], removal.dims("in2")[headAxis]];
      const needsScale = !s.hasMergedHeads && s.scale === undefined && typeof q.width === "number" && size !== q.width;
      const scale = needsScale ? ({ scale: { kind: "float", value: 1 / Math.sqrt(q.width) } } as const) : {};
      if (typeof channels !== "number" || site.attribute("q_num_heads") === undefined) return { attributes: scale };
      const keyHeads = channels / valueWidth;
      return {
        attributes: {
          ...scale,
          q_num_heads: { kind: "int", value: keyHeads * queryHeads },
          kv_num_heads: { kind: "int", value: keyHeads },
        },
      };
    },
  };
}

const linksInsideHeads = (
  [
    ["in0", "in1"],
    ["in2", "out0"],
    ["in1", "in4"],
    ["in2", "in5"],
    ["in1", "out1"],
    ["in2", "out2"],
  ] as const
).map(([from, to]): AxisLink => ({ from: [from, 3], to: [to, 3] }));

function writePositions(emit: Emit, reference: Value, size: Dim, shape: readonly number[]): Value {
  const numbers =
    typeof size === "number"
      ? integersConstant(emit, range(size), "positions")
      : emit.Range([0, emit.Squeeze([emit.Shape([reference], { start: 2, end: 3 })]), 1]);
  return emit.Reshape([numbers, shape]);
}

/** Writes the sum of all biases. `canBeEmpty`: a query may see no key. */
function writeBias(
  s: Settings,
  emit: Emit,
  [, , , mask, past, , lengths]: readonly (Value | undefined)[],
  { q, k, length, keys }: { readonly q: Value; readonly k: Value; readonly length: Dim; readonly keys: Dim },
): { readonly sum: Value; readonly canBeEmpty: boolean } | undefined {
  const type = typeOf(q);
  const zero = scalar(emit, type, 0);
  const minusInfinity = scalar(emit, type, Number.NEGATIVE_INFINITY);
  const biasWhere = (allowed: Value): Value => emit.Where([allowed, zero, minusInfinity]);
  const terms: Value[] = [];
  if (mask !== undefined) terms.push(typeOf(mask) === "bool" ? biasWhere(mask) : mask);
  const [before, after] = s.window;
  const lengthsPerSample = lengths === undefined ? undefined : emit.Reshape([lengths, [-1, 1, 1, 1]]);
  const columns = (): Value => writePositions(emit, k, keys, [1, -1]);
  if (s.isCausal || before >= 0 || after >= 0) {
    const rows = writePositions(emit, q, length, [-1, 1]);
    const lengthOf = (value: Value): Value => emit.Shape([value], { start: 2, end: 3 });
    const offset =
      past !== undefined
        ? lengthOf(past)
        : lengthsPerSample === undefined
          ? undefined
          : emit.Sub([lengthsPerSample, lengthOf(q)]);
    const distance = emit.Sub([offset === undefined ? rows : emit.Add([rows, offset]), columns()]);
    if (s.isCausal) terms.push(biasWhere(emit.GreaterOrEqual([distance, 0])));
    if (before >= 0) terms.push(biasWhere(emit.LessOrEqual([distance, before])));
    if (after >= 0) terms.push(biasWhere(emit.GreaterOrEqual([distance, -after])));
  }
  if (lengthsPerSample !== undefined) terms.push(biasWhere(emit.Less([columns(), lengthsPerSample])));
  const [first, ...more] = terms;
  if (first === undefined) return undefined;
  const canBeEmpty = mask !== undefined || lengthsPerSample !== undefined || before >= 0 || after >= 0;
  return { sum: more.reduce((sum, term) => emit.Add([sum, term]), first), canBeEmpty };
}

function repeatHeads(s: Settings, emit: Emit, value: Value, size: Dim): Value | Miss {
  const queryHeads = s.heads / s.keyHeads;
  if (queryHeads === 1) return value;
  if (typeof size !== "number") return unknownWidth;
  const expandedHeads = emit.Expand([emit.Unsqueeze([value, [2]]), [1, 1, queryHeads, 1, 1]]);
  return emit.Reshape([expandedHeads, [0, s.heads, -1, size]]);
}

function writeSoftmax(emit: Emit, scores: Value, precision: DataType | undefined): Value {
  if (precision === undefined || precision === typeOf(scores)) return emit.Softmax([scores], { axis: -1 });
  return emit.CastLike([emit.Softmax([emit.Cast([scores], { to: typeCodes[precision] })], { axis: -1 }), scores]);
}

function lower(s: Settings, emit: Emit, inputs: Inputs): readonly Value[] | Miss {
  const [queries, keys, values, mask, pastKey, pastValue] = inputs;
  const dims = inputs.map((value) => value?.type?.dims);
  const operands = shapesOf(s, dims);
  if (operands instanceof Miss) return operands;
  const { width: size, length } = operands.q;
  if (typeof size !== "number") return unknownWidth;
  const maskLength = mask?.type?.dims?.at(-1);
  if (typeof maskLength === "number" && typeof operands.keys === "number" && maskLength < operands.keys)
    return new Miss("its mask does not cover all keys");
  const split = (value: Value | undefined, heads: number): Value =>
    s.hasMergedHeads ? splitHeads(emit, value, heads) : requireValue(value);
  const q = split(queries, s.heads);
  const presentKey = appendToPast(emit, pastKey, split(keys, s.keyHeads));
  const presentValue = appendToPast(emit, pastValue, split(values, s.keyHeads));
  const [k, v] = [repeatHeads(s, emit, presentKey, size), repeatHeads(s, emit, presentValue, operands.v.width)];
  if (k instanceof Miss) return k;
  if (v instanceof Miss) return v;
  // Q and K are each multiplied by the square root of the scale, so that float16 products stay small.
  const scaleRoot = Math.sqrt(s.scale ?? 1 / Math.sqrt(size));
  const transposedKeys = emit.Transpose([emit.Mul([k, scaleRoot])], { perm: [0, 1, 3, 2] });
  const products = emit.MatMul([emit.Mul([q, scaleRoot]), transposedKeys]);
  const cappedProducts = capScores(emit, products, s.softcap);
  const bias = writeBias(s, emit, inputs, { q, k: presentKey, length, keys: operands.keys });
  const scores = bias === undefined ? cappedProducts : emit.Add([cappedProducts, bias.sum]);
  const isEmpty =
    bias?.canBeEmpty === true
      ? emit.Equal([emit.ReduceMax([bias.sum, [-1]], { keepdims: 1 }), Number.NEGATIVE_INFINITY])
      : undefined;
  // Cleared before the softmax, too: a row of -∞ would give NaN in outputs and gradients.
  const clearEmpty = (value: Value): Value => (isEmpty === undefined ? value : emit.Where([isEmpty, 0, value]));
  const weights = clearEmpty(writeSoftmax(emit, clearEmpty(scores), s.precision));
  const y = emit.MatMul([weights, v]);
  const fourthOutput = [products, cappedProducts, scores, weights][s.scoreOutput] ?? products;
  return [s.hasMergedHeads ? mergeHeads(emit, y) : y, presentKey, presentValue, fourthOutput];
}

export const Attention = defineOp<Settings>({
  name: "Attention",
  read,
  infer,
  axes,
  lower,
  cost: (s, site) => {
    const operands = shapesOfSite(s, site);
    if (operands instanceof Miss) return operands;
    const { q, v, keys } = operands;
    return multiplyDims(elementCount([q.batch, s.heads, q.length, keys]), addDims(q.width, v.width));
  },
});
