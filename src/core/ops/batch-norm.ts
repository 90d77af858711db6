/**
 * BatchNormalization of N × C × …: y = (x - mean) / √(variance + ε) · scale + bias, per channel. Before opset 9, `spatial` 0 means per element.
 * Training mode is lowered to primitives, because ONNX Runtime's kernel overwrites the running statistics that it is fed.
 */
import { type Emit, elementCount, type FloatType, fixedDims, fromNumbers, Miss, type Value } from "#graph";
import { quirks } from "../quirks.ts";
import { type AxisLink, defineOp, type GradientScope, type Inferred } from "./define.ts";
import { readFlag, readFloat } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { blockedFormOf, createBlocks, reorderFromBlocks, scaleInBlocks, sumInBlocks } from "./shared/channel-blocks.ts";
import { noLowering, noRank } from "./shared/misses.ts";
import { normalize } from "./shared/normalize.ts";
import { range, requireInput, requireValue, sizesOf, typeOf } from "./shared/shapes.ts";

const emptyVector = new Float64Array(0);

interface Settings {
  readonly epsilon: number;
  readonly momentum: number;
  readonly isTraining: boolean;
  /** Whether outputs depend on the batch and not on previous statistics. */
  readonly isStateless: boolean;
  readonly isPerElement: boolean;
}

/** Normalizes with the batch's mean and biased variance, and updates statistics to momentum · running + (1 - momentum) · batch. */
function lowerTraining(s: Settings, emit: Emit, inputs: readonly (Value | undefined)[]): readonly Value[] | Miss {
  const [x, scale, bias, mean, variance] = inputs;
  const rank = x?.type?.dims?.length;
  if (x === undefined || scale === undefined || bias === undefined || mean === undefined || variance === undefined)
    return new Miss("an operand is missing");
  if (rank === undefined) return noRank;
  const axes = [0, ...range(rank - 2, 2)];
  const alignToChannels = (vector: Value): Value => emit.Reshape([vector, [1, -1, ...axes.slice(1).map(() => 1)]]);
  const vector = (value: Value): Value => emit.Reshape([value, [-1]]);
  const batch = normalize(emit, x, axes, s.epsilon);
  const y = emit.Add([emit.Mul([batch.normalized, alignToChannels(scale)]), alignToChannels(bias)]);
  const blend = (old: Value, current: Value): Value => {
    const weigh = (value: Value, weight: number): Value => emit.Mul([value, weight]);
    return emit.Add([weigh(old, s.momentum), weigh(emit.CastLike([vector(current), old]), 1 - s.momentum)]);
  };
  const running = [blend(mean, batch.mean), blend(variance, batch.variance)];
  return [y, ...running, vector(batch.mean), vector(batch.inverse)];
}

/** Writes training mode with ONNX Runtime's kernel. With a momentum of 0, it outputs the batch statistics. It overwrites constants here. */
function writeTraining(s: Settings, emit: Emit, inputs: readonly (Value | undefined)[]): readonly Value[] | Miss {
  const [x, scale, bias, mean, variance] = inputs;
  const [channels] = fixedDims(mean?.type?.dims) ?? [];
  const type = x?.type?.type;
  const hasSameTypes = [scale, bias, mean, variance].every((value) => value?.type?.type === type);
  if ((type !== "float32" && type !== "float64") || !hasSameTypes || channels === undefined)
    return lowerTraining(s, emit, inputs);
  const writeVector = vectorWriter(emit, type, channels);
  const [y, batchMean, batchVariance] = emit.many(
    "BatchNormalization",
    [x, scale, bias, writeVector(0), writeVector(1)],
    { epsilon: s.epsilon, momentum: 0, training_mode: 1 },
    3,
  );
  const blend = (old: Value | undefined, current: Value): Value =>
    emit.Add([emit.Mul([old, s.momentum]), emit.Mul([current, 1 - s.momentum])]);
  return [y, blend(mean, batchMean), blend(variance, batchVariance)];
}

const vectorWriter = (emit: Emit, type: FloatType, channels: number) => (value: number) =>
  emit.constant(fromNumbers(type, [channels], new Array<number>(channels).fill(value)));

const axesExceptChannel = (x: Value): readonly number[] => [0, ...range(sizesOf(x).length - 2, 2)];

/** dx = scale / √(variance + ε) · (dy - Σ dy / n - x̂ · Σ (dy · x̂) / n), with x̂ = (x - mean) / √(variance + ε) and n values per channel. */
function writeTrainingGradients(s: Settings, scope: GradientScope): readonly (Value | undefined)[] | Miss {
  const { emit, inputs, outputs, upstream, wanted } = scope;
  const [x, scale] = inputs;
  const [up, ...more] = upstream;
  const [, mean, variance] = outputs;
  if (x === undefined || scale === undefined || up === undefined || mean === undefined || variance === undefined)
    return new Miss("its statistics are not outputs");
  if (more.some((value) => value !== undefined)) return new Miss("another node uses the batch statistics");
  const dims = sizesOf(x);
  const [channels = 1] = dims.slice(1);
  const type = typeOf(x) === "float64" ? "float64" : "float32";
  const count = elementCount(dims) / Math.max(1, channels);
  const { channelBlock } = scope;
  if (channelBlock !== undefined && hasCompleteBlocks(x, channelBlock)) {
    const blocks = createBlocks(emit, channelBlock);
    const deviation = emit.Sqrt([emit.Add([variance, s.epsilon])]);
    const shift = sumInBlocks(emit, blocks.toBlocked(up), undefined, channelBlock);
    const products = sumInBlocks(emit, blocks.toBlocked(up), blocks.toBlocked(x), channelBlock);
    const factor = emit.Div([emit.Sub([products, emit.Mul([mean, shift])]), deviation]);
    if (!wanted(0)) return [undefined, factor, shift];
    const slope = emit.Div([scale, deviation]);
    const meanFactor = emit.Mul([slope, -1 / count]);
    // dx = slope · dy + inputFactor · x + meanFactor · Σ dy - inputFactor · mean
    const inputFactor = emit.Div([emit.Mul([meanFactor, factor]), deviation]);
    const offset = emit.Sub([emit.Mul([meanFactor, shift]), emit.Mul([inputFactor, mean])]);
    const shiftedX = scaleInBlocks(emit, blocks.toBlocked(x), { scale: inputFactor, shift: offset });
    const dx = scaleInBlocks(emit, blocks.toBlocked(up), { scale: slope, shift: undefined, sum: shiftedX });
    return [reorderFromBlocks(emit, dx), factor, shift];
  }
  const writeVector = vectorWriter(emit, type, channels);
  const reducedAxes = axesExceptChannel(x);
  const perChannelSum = (value: Value): Value => emit.ReduceSum([value, reducedAxes], { keepdims: 0 });
  const [zeros, ones] = [writeVector(0), writeVector(1)];
  const normalizedInput = emit.BatchNormalization([x, ones, zeros, mean, variance], { epsilon: s.epsilon });
  const [shift, factor] = [perChannelSum(up), perChannelSum(emit.Mul([up, normalizedInput]))];
  if (!wanted(0)) return [undefined, factor, shift];
  const slope = emit.Div([scale, emit.Sqrt([emit.Add([variance, s.epsilon])])]);
  const meanFactor = emit.Mul([slope, -1 / count]);
  const directPart = emit.BatchNormalization([up, slope, emit.Mul([meanFactor, shift]), zeros, ones], { epsilon: 0 });
  const channelShape = [channels, ...dims.slice(2).map(() => 1)];
  const correction = emit.Mul([normalizedInput, emit.Reshape([emit.Mul([meanFactor, factor]), channelShape])]);
  return [emit.Add([directPart, correction]), factor, shift];
}

const hasCompleteBlocks = (x: Value, size: number): boolean =>
  typeOf(x) === "float32" && sizesOf(x).length === 4 && (sizesOf(x)[1] ?? 0) % size === 0;

/** Writes training mode on blocked channels. The variance is E[x²] - E[x]² as in Flax, imprecise for large means. */
function trainInBlocks(s: Settings, emit: Emit, x: Value, [scale, bias]: readonly Value[], size: number) {
  const [, channels = 1] = sizesOf(x);
  const reciprocalCount = channels / elementCount(sizesOf(x));
  const mean = emit.Mul([sumInBlocks(emit, x, undefined, size), reciprocalCount]);
  const squares = emit.Mul([sumInBlocks(emit, x, x, size), reciprocalCount]);
  const variance = emit.Relu([emit.Sub([squares, emit.Mul([mean, mean])])]);
  const slope = emit.Div([scale, emit.Sqrt([emit.Add([variance, s.epsilon])])]);
  const shift = emit.Sub([bias, emit.Mul([mean, slope])]);
  return [reorderFromBlocks(emit, scaleInBlocks(emit, x, { scale: slope, shift })), mean, variance];
}

function lowerPerElement(s: Settings, emit: Emit, inputs: readonly (Value | undefined)[]): readonly Value[] {
  const [x, scale, bias, mean, variance] = inputs;
  const deviation = emit.Sqrt([emit.Add([variance, s.epsilon])]);
  return [emit.Add([emit.Mul([emit.Div([emit.Sub([x, mean]), deviation]), scale]), bias])];
}

const normalizesPerElement = new Miss("normalizes per element (spatial 0)");

export const BatchNormalization = defineOp<Settings>({
  name: "BatchNormalization",
  read: (site) => {
    const momentum = readFloat(site, "momentum", 0.9);
    const isTraining = site.version < 14 ? site.outputs > 1 : readFlag(site, "training_mode");
    return {
      epsilon: readFloat(site, "epsilon", 1e-5),
      momentum,
      isTraining,
      isStateless: isTraining && momentum === 0 && site.outputs === 3,
      isPerElement: site.version < 9 && !readFlag(site, "spatial", true),
    };
  },
  infer: (_, site) => {
    const { type, dims } = requireInput(site, 0);
    const statistics: Inferred = { type: site.inputs[3]?.type ?? type, dims: site.inputs[3]?.dims };
    return [{ type, dims }, ...new Array<Inferred>(Math.max(0, site.outputs - 1)).fill(statistics)];
  },
  needsFloat32: ({ outputs }) => (outputs.length > 1 ? `ONNX Runtime ${quirks["half-statistics"]}` : undefined),
  affine: (s, site) => {
    if (s.isTraining) return new Miss("uses batch statistics", undefined, "normalization");
    if (s.isPerElement) return normalizesPerElement;
    if (site.outputs > 1) return new Miss("its statistics are outputs", undefined, "normalization");
    return {
      kind: "normalization",
      dataInput: 0,
      axis: 1,
      inputs: [1, 2, 3, 4],
      statistics: { mean: 3, variance: 4 },
      // (x - mean) · s + bias with s = scale / √(variance + ε)
      of: ([scale = emptyVector, bias = emptyVector, mean = emptyVector, variance = emptyVector]) => {
        const factors = scale.map((value, channel) => value / Math.sqrt((variance[channel] ?? 0) + s.epsilon));
        const shift = bias.map((value, channel) => value - (mean[channel] ?? 0) * (factors[channel] ?? 0));
        return { scale: factors, shift };
      },
    };
  },
  homogeneous: (s, site) =>
    s.isTraining || s.isPerElement || site.outputs > 1 ? undefined : { products: [[0, 1], [3, 1], [2]] },
  training: (s, site) => {
    if (s.isPerElement) return undefined;
    return {
      states: [3, 4],
      declared: s.isTraining,
      write: (emit, inputs) => {
        const outputs = writeTraining(s, emit, inputs);
        if (outputs instanceof Miss) return outputs;
        const next = new Map<number, Value>();
        for (const [index, statistic] of outputs.slice(1, 3).entries()) next.set(3 + index, statistic);
        return { outputs: outputs.slice(0, site.outputs), next };
      },
      inference: s.isTraining
        ? (emit, inputs) => [emit.BatchNormalization(inputs, { epsilon: s.epsilon }), inputs[3], inputs[4]]
        : undefined,
    };
  },
  inChannelBlocks: (s, emit, [x, scale, bias], block) => {
    const blockedForm = blockedFormOf(x, block);
    if (!s.isStateless || blockedForm === undefined || !hasCompleteBlocks(blockedForm, block)) return undefined;
    return trainInBlocks(s, emit, blockedForm, [requireValue(scale), requireValue(bias)], block);
  },
  parameters: [1, 2],
  scales: () => [1, 4],
  weight: new Miss("scales and shifts; it can be folded into a layer before it"),
  axes: (s, _, dims) => {
    if (s.isPerElement) return normalizesPerElement;
    const vectors = range(4, 1).flatMap((port): AxisLink[] => [
      { from: [`in${port}`, 0], to: ["out0", 1] },
      { from: [`out${port}`, 0], to: ["out0", 1] },
    ]);
    const refused = (axis: number): boolean => s.isTraining && axis !== 1;
    return [...sameAxes(dims, { refused, reason: "the statistics are taken over this axis" }), ...vectors];
  },
  lower: (s, emit, inputs) => {
    if (s.isTraining) return s.isStateless ? noLowering : lowerTraining(s, emit, inputs);
    return s.isPerElement ? lowerPerElement(s, emit, inputs) : noLowering;
  },
  gradient: (s, scope) => {
    const { emit, inputs, up, wanted } = scope;
    const [x, scale, , mean, variance] = inputs;
    if (s.isTraining)
      return s.isStateless ? writeTrainingGradients(s, scope) : new Miss("is differentiated as its primitives");
    if (s.isPerElement) return normalizesPerElement;
    const dims = sizesOf(x);
    const channelShape = [dims[1] ?? 1, ...dims.slice(2).map(() => 1)];
    const alignToChannels = (vector: Value | undefined): Value => emit.Reshape([vector, channelShape]);
    const reducedAxes = axesExceptChannel(x);
    const inverse = emit.Reciprocal([emit.Sqrt([emit.Add([variance, s.epsilon])])]);
    const normalizeInput = (): Value => emit.Mul([emit.Sub([x, alignToChannels(mean)]), alignToChannels(inverse)]);
    const perChannelSum = (value: Value): Value => emit.ReduceSum([value, reducedAxes], { keepdims: 0 });
    const slope = emit.Mul([scale, inverse]);
    return [
      wanted(0) ? emit.Mul([up, alignToChannels(slope)]) : undefined,
      wanted(1) ? perChannelSum(emit.Mul([up, normalizeInput()])) : undefined,
      wanted(2) ? perChannelSum(up) : undefined,
      wanted(3) ? emit.Neg([emit.Mul([perChannelSum(up), slope])]) : undefined,
      // d(v + ε)^(-1/2)/dv = -1/2 · (v + ε)^(-3/2)
      wanted(4)
        ? emit.Mul([perChannelSum(emit.Mul([up, normalizeInput()])), emit.Mul([emit.Mul([slope, inverse]), -0.5])])
        : undefined,
    ];
  },
});
