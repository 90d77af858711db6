/**
 * Normalization with statistics of the data itself: y = (x - mean) / √(variance + ε) · scale + bias, where the statistics are taken over
 * - LayerNormalization: all axes from `axis` on, for every position before them (RMSNormalization: the same with mean 0 and no bias);
 * - InstanceNormalization: the places of each channel of each sample;
 * - GroupNormalization: the places of a group of channels of each sample;
 * - MeanVarianceNormalization: the axes named, without scale and bias, and ε = 1e-9 added to the standard deviation.
 * The variance is the mean of squared deviations; the mean of squares less the squared mean would cancel where the mean is large.
 *
 * Numbers with fewer bits than `stash_type` are computed in it. GroupNormalization before 21 scales per group, since then per channel.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, elementCount, sameDims } from "../tensor/dims.ts";
import { type DataType, typeCodes } from "../tensor/types.ts";
import {
  type AxisLink,
  type AxisRule,
  defineOp,
  type GradientScope,
  type Inferred,
  type Op,
  type Site,
} from "./define.ts";
import { decimal, elementType, integer, integers, wrapAxis } from "./shared/attributes.ts";
import {
  dimsAt,
  filled,
  fixed,
  integersConstant,
  need,
  reshapeTo,
  sameAsInput,
  sameAxesBut,
  scalar,
  typeOf,
  widened,
} from "./shared/rules.ts";

const noWeight = new Miss("scales and shifts; it has no matrix");

/** Scale and bias, where stored. */
const scaleAndBias = (_: unknown, site: Site): readonly number[] =>
  [1, 2].filter((input) => site.inputs[input]?.stored === true);

/** Scale and bias go with the channels. */
const perChannel: readonly AxisLink[] = [
  { from: ["in1", 0], to: ["out0", 1] },
  { from: ["in2", 0], to: ["out0", 1] },
];

/** Types of fewer bits than float32 are computed in `stash`. */
function stashed(emit: Emit, x: Value, stash: DataType): Value {
  return stash === "float32" ? widened(emit, x) : x;
}

interface Statistics {
  readonly normalized: Value;
  readonly mean: Value;
  readonly inverse: Value;
}

/** (x - mean) / √(variance + ε) over axes that stay as 1. */
function normalize(emit: Emit, x: Value, axes: readonly number[], epsilon: number): Statistics {
  const average = (value: Value): Value => emit.ReduceMean([value, integersConstant(emit, axes)], { keepdims: 1 });
  const mean = average(x);
  const centred = emit.Sub([x, mean]);
  const deviation = emit.Sqrt([emit.Add([average(emit.Mul([centred, centred])), scalar(emit, typeOf(x), epsilon)])]);
  return { normalized: emit.Div([centred, deviation]), mean, inverse: emit.Reciprocal([deviation]) };
}

interface LayerSettings {
  readonly axis: number;
  readonly epsilon: number;
  readonly stash: DataType;
}

function readLayer(site: Site): LayerSettings {
  const axis = integer(site, "axis", -1);
  const rank = site.inputs[0]?.dims?.length;
  return {
    axis: rank === undefined ? axis : wrapAxis(axis, rank),
    epsilon: decimal(site, "epsilon", 1e-5),
    stash: elementType(site, "stash_type", "float32") ?? "float32",
  };
}

/** The axes before `axis` pass through, to statistics too; over the others it is normalized. */
function layerAxes(name: string): (s: LayerSettings, site: Site) => AxisRule | Miss {
  return (s, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    const reason = `${name} normalizes over this axis`;
    const links = dims.flatMap((_, axis): AxisLink[] => {
      if (axis >= s.axis)
        return [
          { refuses: ["in0", axis], reason },
          { refuses: ["out0", axis], reason },
        ];
      return Array.from(
        { length: site.outputs },
        (_, output): AxisLink => ({ from: ["in0", axis], to: [`out${output}`, axis] }),
      );
    });
    // A scale or bias for each row goes with the rows.
    for (const input of [1, 2] as const) {
      const own = site.inputs[input]?.dims ?? [];
      const lead = dims.length - own.length;
      own.forEach((dim, axis) => {
        if (dim !== 1 && lead + axis < s.axis) links.push({ from: [`in${input}`, axis], to: ["out0", lead + axis] });
      });
    }
    return { links };
  };
}

/**
 * With x̂ = (x - mean) · r, r = 1 / √(variance + ε) and g = dy · scale: dx = r · (g - mean(g) - x̂ · mean(g · x̂)). Its primitives need twice
 * as many passes over memory. The second mean is a product with the scale as a column. What arrives at the mean and at r is part of
 * the means: d mean / dx = 1/n, dr/dx = -r² · x̂ / n.
 */
function layerGradient(
  s: LayerSettings,
  { emit, inputs: [x, scale, bias], upstream: [up, upMean, upInverse], wanted }: GradientScope,
): readonly (Value | undefined)[] {
  if (x === undefined || scale === undefined) return [];
  const dims = fixed(x);
  const normalizedDims = dims.slice(s.axis);
  const [rows, count] = [elementCount(dims.slice(0, s.axis)), elementCount(normalizedDims)];
  const wide = stashed(emit, x, s.stash);
  const type = typeOf(wide);
  const flat = (value: Value): Value => reshapeTo(emit, value, [rows, count]);
  const inType = (value: Value, wanted: DataType): Value =>
    typeOf(value) === wanted ? value : emit.Cast([value], { to: typeCodes[wanted] });
  const { normalized, inverse } = layerStatistics(emit, s, flat(wide), type);
  const dy = up === undefined ? filled(emit, type, [rows, count], 0) : flat(inType(up, type));
  // A scale may also broadcast along what is not normalized; then there is one for each row.
  const isOwn = (value: Value): boolean => elementCount(fixed(value).slice(0, -normalizedDims.length)) > 1;
  const ownScale = isOwn(scale);
  const expand = (value: Value, to: readonly number[]): Value =>
    sameDims(fixed(value), to) ? value : emit.Expand([value, integersConstant(emit, to)]);
  const factors = inType(expand(scale, ownScale ? dims : normalizedDims), type);
  const products = emit.Mul([dy, normalized]);
  const overRows = (value: Value): Value =>
    reshapeTo(emit, emit.ReduceSum([value, integersConstant(emit, [0])], { keepdims: 0 }), normalizedDims);
  const gradientOf = (value: Value, rowsOfIt: Value): Value =>
    inType(isOwn(value) ? reshapeTo(emit, rowsOfIt, dims) : overRows(rowsOfIt), typeOf(value));
  const dScale = wanted(1) ? gradientOf(scale, products) : undefined;
  const dBias = bias !== undefined && wanted(2) ? gradientOf(bias, dy) : undefined;
  if (!wanted(0)) return [undefined, dScale, dBias];
  const nth = scalar(emit, type, 1 / count);
  const share = (value: Value): Value => emit.Mul([reshapeTo(emit, inType(value, type), [rows, 1]), nth]);
  const scaled = emit.Mul([dy, reshapeTo(emit, factors, [ownScale ? rows : 1, count])]);
  const average = (value: Value): Value => emit.ReduceMean([value, integersConstant(emit, [1])], { keepdims: 1 });
  let mean = average(scaled);
  let along = ownScale
    ? average(emit.Mul([scaled, normalized]))
    : emit.MatMul([products, reshapeTo(emit, emit.Mul([factors, nth]), [count, 1])]);
  if (upMean !== undefined) mean = emit.Sub([mean, emit.Div([share(upMean), inverse])]);
  if (upInverse !== undefined) along = emit.Add([along, emit.Mul([share(upInverse), inverse])]);
  const centred = emit.Sub([emit.Sub([scaled, emit.Mul([normalized, along])]), mean]);
  const dx = reshapeTo(emit, emit.Mul([centred, inverse]), dims);
  return [inType(dx, typeOf(x)), dScale, dBias];
}

/** x̂ and r of rows. In float64 the operator would round r to its `stash_type`. */
function layerStatistics(
  emit: Emit,
  { epsilon }: LayerSettings,
  rows: Value,
  type: DataType,
): Pick<Statistics, "normalized" | "inverse"> {
  if (type !== "float32") return normalize(emit, rows, [1], epsilon);
  const ones = filled(emit, type, [fixed(rows)[1] ?? 1], 1);
  const [normalized, , inverse] = emit.many("LayerNormalization", [rows, ones], { axis: 1, epsilon }, 3);
  return { normalized, inverse };
}

const from = (axis: number, rank: number): number[] => Array.from({ length: rank - axis }, (_, index) => axis + index);

const LayerNormalization = defineOp<LayerSettings>({
  name: "LayerNormalization",
  differentiatedWhole: true,
  read: readLayer,
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const kept = dims?.map((dim, axis): Dim => (axis < s.axis ? dim : 1));
    const statistics: Inferred = { type: s.stash, dims: kept };
    return [{ type, dims }, statistics, statistics];
  },
  parameters: scaleAndBias,
  scales: () => [1],
  weight: noWeight,
  axes: layerAxes("LayerNormalization"),
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x?.type?.dims?.length;
    if (x === undefined || scale === undefined || rank === undefined)
      return new Miss("the rank of its input is not known");
    const { normalized, mean, inverse } = normalize(emit, stashed(emit, x, s.stash), from(s.axis, rank), s.epsilon);
    const like = (value: Value): Value => (typeOf(value) === typeOf(x) ? value : emit.CastLike([value, x]));
    const scaled = emit.Mul([like(normalized), scale]);
    const statistic = (value: Value): Value =>
      typeOf(value) === "float64" && s.stash === "float32" ? emit.Cast([value], { to: typeCodes.float32 }) : value;
    return [bias === undefined ? scaled : emit.Add([scaled, bias]), statistic(mean), statistic(inverse)];
  },
  gradient: layerGradient,
});

const RMSNormalization = defineOp<LayerSettings>({
  name: "RMSNormalization",
  read: readLayer,
  infer: (_, site) => [{ type: need(site, 1).type, dims: need(site, 0).dims }],
  parameters: scaleAndBias,
  scales: () => [1],
  weight: noWeight,
  axes: layerAxes("RMSNormalization"),
  lower: (s, emit, [given, scale]) => {
    const rank = given?.type?.dims?.length;
    if (given === undefined || scale === undefined || rank === undefined)
      return new Miss("the rank of its input is not known");
    const x = stashed(emit, given, s.stash);
    const square = emit.ReduceMean([emit.Mul([x, x]), integersConstant(emit, from(s.axis, rank))], { keepdims: 1 });
    const normalized = emit.Div([x, emit.Sqrt([emit.Add([square, scalar(emit, typeOf(x), s.epsilon)])])]);
    const like = typeOf(normalized) === typeOf(scale) ? normalized : emit.CastLike([normalized, scale]);
    return [emit.Mul([like, scale])];
  },
});

/** A vector of channels as it broadcasts against N × C × places. */
function overPlaces(emit: Emit, vector: Value, rank: number): Value {
  return emit.Reshape([vector, integersConstant(emit, [-1, ...new Array<number>(rank - 2).fill(1)])]);
}

const InstanceNormalization = defineOp<{ readonly epsilon: number }>({
  name: "InstanceNormalization",
  read: (site) => ({ epsilon: decimal(site, "epsilon", 1e-5) }),
  infer: (_, site) => sameAsInput(site),
  parameters: scaleAndBias,
  scales: () => [1],
  weight: noWeight,
  axes: (_, site) => {
    const rule = sameAxesBut((axis) => axis >= 2, "InstanceNormalization normalizes over this axis", site);
    return rule instanceof Miss ? rule : { links: [...rule.links, ...perChannel] };
  },
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x?.type?.dims?.length;
    if (x === undefined || scale === undefined || bias === undefined || rank === undefined)
      return new Miss("the rank of its input is not known");
    const { normalized } = normalize(emit, x, from(2, rank), s.epsilon);
    return [emit.Add([emit.Mul([normalized, overPlaces(emit, scale, rank)]), overPlaces(emit, bias, rank)])];
  },
});

interface GroupSettings {
  readonly groups: number;
  readonly epsilon: number;
  readonly stash: DataType;
  /** Scale and bias have an entry for each group, not for each channel. */
  readonly perGroup: boolean;
}

const GroupNormalization = defineOp<GroupSettings>({
  name: "GroupNormalization",
  read: (site) => ({
    groups: integer(site, "num_groups", 1),
    epsilon: decimal(site, "epsilon", 1e-5),
    stash: elementType(site, "stash_type", "float32") ?? "float32",
    perGroup: site.version < 21,
  }),
  infer: (_, site) => sameAsInput(site),
  parameters: scaleAndBias,
  scales: () => [1],
  weight: noWeight,
  // A group without one of its channels has another mean; a group of one channel may go as a whole.
  axes: (s, site) => {
    const alone = site.inputs[0]?.dims?.[1] === s.groups;
    const kept = alone ? 2 : 1;
    const rule = sameAxesBut((axis) => axis >= kept, "GroupNormalization normalizes over this axis", site);
    if (rule instanceof Miss || !alone) return rule;
    return {
      links: [...rule.links, ...perChannel],
      resize: (cut) => {
        const left = cut.dims("in0")[1];
        return typeof left === "number" ? { attributes: { num_groups: { kind: "int", value: left } } } : {};
      },
    };
  },
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x?.type?.dims?.length;
    if (x === undefined || scale === undefined || bias === undefined || rank === undefined)
      return new Miss("the rank of its input is not known");
    const grouped = emit.Reshape([stashed(emit, x, s.stash), integersConstant(emit, [0, s.groups, -1])]);
    const { normalized } = normalize(emit, grouped, [2], s.epsilon);
    const like = typeOf(normalized) === typeOf(x) ? normalized : emit.CastLike([normalized, x]);
    const ungrouped = (value: Value): Value => emit.Reshape([value, emit.Shape([x])]);
    const affine = (value: Value, over: number): Value =>
      emit.Add([emit.Mul([value, overPlaces(emit, scale, over)]), overPlaces(emit, bias, over)]);
    return [s.perGroup ? ungrouped(affine(like, 3)) : affine(ungrouped(like), rank)];
  },
});

const MeanVarianceNormalization = defineOp<{ readonly axes: readonly number[] }>({
  name: "MeanVarianceNormalization",
  sameType: 0,
  read: (site) => {
    const axes = integers(site, "axes") ?? [0, 2, 3];
    const rank = site.inputs[0]?.dims?.length;
    return rank === undefined
      ? new Miss("the rank of its input is not known")
      : { axes: axes.map((axis) => wrapAxis(axis, rank)) };
  },
  infer: (_, site) => sameAsInput(site),
  weight: noWeight,
  axes: (s, site) =>
    sameAxesBut((axis) => s.axes.includes(axis), "MeanVarianceNormalization normalizes over this axis", site),
  lower: (s, emit, [x]) => {
    if (x === undefined) return new Miss("an operand is missing");
    const average = (value: Value): Value => emit.ReduceMean([value, integersConstant(emit, s.axes)], { keepdims: 1 });
    const centred = emit.Sub([x, average(x)]);
    const deviation = emit.Sqrt([average(emit.Mul([centred, centred]))]);
    return [emit.Div([centred, emit.Add([deviation, scalar(emit, typeOf(x), 1e-9)])])];
  },
});

export const normalizationOperators: readonly Op[] = [
  LayerNormalization,
  RMSNormalization,
  InstanceNormalization,
  GroupNormalization,
  MeanVarianceNormalization,
];
