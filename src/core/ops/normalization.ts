/**
 * Normalization with statistics of the data: y = (x - mean) / √(variance + ε) · scale + bias. Mean and variance are computed over
 * - LayerNormalization: all axes from `axis` on (RMSNormalization: the same, with mean 0 and no bias);
 * - InstanceNormalization: the positions of each channel of each sample;
 * - GroupNormalization: the positions of a group of channels of each sample (scale is per group before opset 21).
 * LRN divides by (bias + alpha / size · Σ x²)^beta over `size` adjacent channels.
 * The variance is the mean of squared deviations, because E[x²] - E[x]² loses precision for large means.
 */
import { type DataType, type Dim, type Emit, elementCount, Miss, sameDims, typeCodes, type Value } from "#graph";
import { type AxisLink, type Derivation, defineOp, type Inferred, type Site } from "./define.ts";
import { readElementType, readFloat, readInteger, wrapAxis } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { noRank } from "./shared/misses.ts";
import {
  homogeneousAlongLastAxes,
  normalize,
  normalizedAxes,
  rootMeanSquare,
  scaleAndShiftFacets,
} from "./shared/normalize.ts";
import {
  castLike,
  countAttribute,
  fillWith,
  range,
  requireInput,
  requireValue,
  reshapeTo,
  sameAsInput,
  sizesOf,
  typeOf,
  widenToFloat32,
} from "./shared/shapes.ts";

const perChannelLinks = [
  { from: ["in1", 0], to: ["out0", 1] },
  { from: ["in2", 0], to: ["out0", 1] },
] as const satisfies readonly AxisLink[];

function castToStash(emit: Emit, x: Value, stash: DataType): Value {
  return stash === "float32" ? widenToFloat32(emit, x) : x;
}

interface LayerSettings {
  readonly axis: number;
  readonly epsilon: number;
  /** The type in which statistics are computed (`stash_type`). */
  readonly stash: DataType;
}

function readLayerSettings(site: Site): LayerSettings {
  const axis = readInteger(site, "axis", -1);
  const rank = site.inputs[0]?.dims?.length;
  return {
    axis: rank === undefined ? axis : wrapAxis(axis, rank),
    epsilon: readFloat(site, "epsilon", 1e-5),
    stash: readElementType(site, "stash_type", "float32") ?? "float32",
  };
}

const layerAxes =
  (name: string) =>
  ({ axis }: LayerSettings, site: Site, dims: readonly Dim[]): readonly AxisLink[] =>
    normalizedAxes(site, dims, {
      first: axis,
      inputs: [0, 1, 2],
      outputs: [1, 2],
      reason: `${name} normalizes over this axis`,
    });

/**
 * Writes dx = r · (g - mean(g) - x̂ · mean(g · x̂)), with r = 1 / √(variance + ε), x̂ = (x - mean) · r and g = dy · scale. Gradients of the outputs
 * mean and r are added by d mean / dx = 1 / n and dr / dx = -r² · x̂ / n, for n values per row.
 */
function writeLayerGradients(
  s: LayerSettings,
  { emit, inputs: [x, scaleInput, bias], upstream: [, upMean, upInverse], up, wanted }: Derivation,
): readonly (Value | undefined)[] {
  const scale = requireValue(scaleInput);
  const dims = sizesOf(x);
  const normalizedDims = dims.slice(s.axis);
  const [rows, count] = [elementCount(dims.slice(0, s.axis)), elementCount(normalizedDims)];
  const widenedInput = castToStash(emit, x, s.stash);
  const type = typeOf(widenedInput);
  const toRows = (value: Value): Value => reshapeTo(emit, value, [rows, count]);
  const castTo = (value: Value, target: DataType): Value =>
    typeOf(value) === target ? value : emit.Cast([value], { to: typeCodes[target] });
  const { normalized, inverse } = layerStatistics(emit, s, toRows(widenedInput), type);
  const dy = toRows(castTo(up, type));
  // A scale can also vary along axes that are not normalized.
  const isPerRow = (value: Value): boolean => elementCount(sizesOf(value).slice(0, -normalizedDims.length)) > 1;
  const hasRowScales = isPerRow(scale);
  const expandTo = (value: Value, to: readonly number[]): Value =>
    sameDims(sizesOf(value), to) ? value : emit.Expand([value, to]);
  const factors = castTo(expandTo(scale, hasRowScales ? dims : normalizedDims), type);
  const products = emit.Mul([dy, normalized]);
  const sumRows = (value: Value): Value =>
    reshapeTo(emit, emit.ReduceSum([value, [0]], { keepdims: 0 }), normalizedDims);
  const gradientOf = (value: Value, perRow: Value): Value =>
    castTo(isPerRow(value) ? reshapeTo(emit, perRow, dims) : sumRows(perRow), typeOf(value));
  const dScale = wanted(1) ? gradientOf(scale, products) : undefined;
  const dBias = bias !== undefined && wanted(2) ? gradientOf(bias, dy) : undefined;
  if (!wanted(0)) return [undefined, dScale, dBias];
  const reciprocalCount = 1 / count;
  const divideByCount = (value: Value): Value =>
    emit.Mul([reshapeTo(emit, castTo(value, type), [rows, 1]), reciprocalCount]);
  const scaledGradient = emit.Mul([dy, reshapeTo(emit, factors, [hasRowScales ? rows : 1, count])]);
  const writeMean = (value: Value): Value => emit.ReduceMean([value, [1]], { keepdims: 1 });
  let mean = writeMean(scaledGradient);
  let slope = hasRowScales
    ? writeMean(emit.Mul([scaledGradient, normalized]))
    : emit.MatMul([products, reshapeTo(emit, emit.Mul([factors, reciprocalCount]), [count, 1])]);
  if (upMean !== undefined) mean = emit.Sub([mean, emit.Div([divideByCount(upMean), inverse])]);
  if (upInverse !== undefined) slope = emit.Add([slope, emit.Mul([divideByCount(upInverse), inverse])]);
  const centeredGradient = emit.Sub([emit.Sub([scaledGradient, emit.Mul([normalized, slope])]), mean]);
  const dx = reshapeTo(emit, emit.Mul([centeredGradient, inverse]), dims);
  return [castTo(dx, typeOf(x)), dScale, dBias];
}

/** Writes x̂ and r of rows. In float64, the operator would round r to float32 (`stash_type`). */
function layerStatistics(
  emit: Emit,
  { epsilon }: LayerSettings,
  rows: Value,
  type: DataType,
): Record<"normalized" | "inverse", Value> {
  if (type !== "float32") return normalize(emit, rows, [1], epsilon);
  const ones = fillWith(emit, type, [sizesOf(rows)[1] ?? 1], 1);
  const [normalized, , inverse] = emit.many("LayerNormalization", [rows, ones], { axis: 1, epsilon }, 3);
  return { normalized, inverse };
}

export const LayerNormalization = defineOp<LayerSettings>({
  name: "LayerNormalization",
  differentiatedWhole: true,
  read: readLayerSettings,
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const statisticsDims = dims?.map((dim, axis): Dim => (axis < s.axis ? dim : 1));
    const statistics: Inferred = { type: s.stash, dims: statisticsDims };
    return [{ type, dims }, statistics, statistics];
  },
  ...scaleAndShiftFacets,
  homogeneous: homogeneousAlongLastAxes(1, 2),
  axes: layerAxes("LayerNormalization"),
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    const widenedInput = castToStash(emit, x, s.stash);
    const { normalized, mean, inverse } = normalize(emit, widenedInput, range(rank - s.axis, s.axis), s.epsilon);
    const scaledInput = emit.Mul([castLike(emit, normalized, x), scale]);
    const castStatistic = (value: Value): Value =>
      typeOf(value) === "float64" && s.stash === "float32" ? emit.Cast([value], { to: typeCodes.float32 }) : value;
    return [
      bias === undefined ? scaledInput : emit.Add([scaledInput, bias]),
      castStatistic(mean),
      castStatistic(inverse),
    ];
  },
  gradient: writeLayerGradients,
});

export const RMSNormalization = defineOp<LayerSettings>({
  name: "RMSNormalization",
  read: readLayerSettings,
  infer: (_, site) => [{ type: requireInput(site, 1).type, dims: requireInput(site, 0).dims }],
  ...scaleAndShiftFacets,
  homogeneous: homogeneousAlongLastAxes(1),
  axes: layerAxes("RMSNormalization"),
  lower: (s, emit, [x, scale]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    const widenedInput = castToStash(emit, x, s.stash);
    return [rootMeanSquare(emit, widenedInput, scale, { axes: range(rank - s.axis, s.axis), epsilon: s.epsilon }).y];
  },
});

function scalePerChannel(emit: Emit, x: Value, rank: number, vectors: readonly (Value | undefined)[]): Value {
  const shape = [-1, ...new Array<number>(rank - 2).fill(1)];
  const [scale, bias] = vectors.map((vector) => emit.Reshape([vector, shape]));
  return emit.Add([emit.Mul([x, scale]), bias]);
}

export const InstanceNormalization = defineOp({
  name: "InstanceNormalization",
  read: (site) => ({ epsilon: readFloat(site, "epsilon", 1e-5) }),
  infer: (_, site) => sameAsInput(site),
  ...scaleAndShiftFacets,
  homogeneous: [[1], [2]],
  axes: (_, __, dims) => [
    ...sameAxes(dims, { refused: (axis) => axis >= 2, reason: "InstanceNormalization normalizes over this axis" }),
    ...perChannelLinks,
  ],
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    const { normalized } = normalize(emit, x, range(rank - 2, 2), s.epsilon);
    return [scalePerChannel(emit, normalized, rank, [scale, bias])];
  },
});

export const GroupNormalization = defineOp({
  name: "GroupNormalization",
  read: (site) => ({
    groups: readInteger(site, "num_groups", 1),
    epsilon: readFloat(site, "epsilon", 1e-5),
    stash: readElementType(site, "stash_type", "float32") ?? "float32",
    // Before opset 21, scale and bias have one value per group.
    perGroup: site.version < 21,
  }),
  infer: (_, site) => sameAsInput(site),
  ...scaleAndShiftFacets,
  // The mean of a group would change without one of its channels.
  axes: (s, _, dims) => {
    const [, channels] = dims;
    if (typeof channels !== "number") return new Miss("the number of its channels is not known");
    const groupSize = channels / s.groups;
    const channelsOf = (group: number): number[] => range(groupSize, group * groupSize);
    const channelsOfSameGroup = (channel: number): number[] => channelsOf(Math.floor(channel / groupSize));
    const vectors = s.perGroup ? perChannelLinks.map((link) => ({ ...link, map: channelsOf })) : perChannelLinks;
    return {
      links: [
        ...sameAxes(dims, { refused: (axis) => axis >= 2, reason: "GroupNormalization normalizes over this axis" }),
        ...(groupSize === 1 ? [] : [{ from: ["in0", 1], to: ["in0", 1], map: channelsOfSameGroup } as const]),
        ...vectors,
      ],
      resize: (removal) => countAttribute("num_groups", Number(removal.dims("in0")[1]) / groupSize),
    };
  },
  lower: (s, emit, [x, scale, bias]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    const groupedInput = emit.Reshape([castToStash(emit, x, s.stash), [0, s.groups, -1]]);
    const { normalized } = normalize(emit, groupedInput, [2], s.epsilon);
    const narrowedOutput = castLike(emit, normalized, x);
    const ungroup = (value: Value): Value => emit.Reshape([value, emit.Shape([x])]);
    if (s.perGroup) return [ungroup(scalePerChannel(emit, narrowedOutput, 3, [scale, bias]))];
    return [scalePerChannel(emit, ungroup(narrowedOutput), rank, [scale, bias])];
  },
});

export const LRN = defineOp({
  name: "LRN",
  read: (site) => ({
    size: readInteger(site, "size", 1),
    alpha: readFloat(site, "alpha", 1e-4),
    beta: readFloat(site, "beta", 0.75),
    bias: readFloat(site, "bias", 1),
  }),
  infer: (_, site) => sameAsInput(site),
  axes: (_, __, dims) =>
    sameAxes(dims, { refused: (axis) => axis === 1, reason: "LRN divides by the channels around each" }),
  // The mean over a window of channels is an AveragePool.
  lower: (s, emit, [x]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    if (rank > 4) return new Miss("pooling over four axes is not supported");
    const zeros = new Array<number>(rank - 2).fill(0);
    const [before, after] = [Math.floor((s.size - 1) / 2), Math.ceil((s.size - 1) / 2)];
    const axis = [1];
    const mean = emit.AveragePool([emit.Unsqueeze([emit.Mul([x, x]), axis])], {
      kernel_shape: [s.size, ...zeros.map(() => 1)],
      pads: [before, ...zeros, after, ...zeros],
      count_include_pad: 1,
    });
    const scaledMean = emit.Add([emit.Mul([emit.Squeeze([mean, axis]), s.alpha]), s.bias]);
    return [emit.Div([x, emit.Pow([scaledMean, s.beta])])];
  },
});
