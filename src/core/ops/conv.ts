/**
 * Conv, ConvTranspose, DeformConv and ConvInteger over any number of spatial axes, with groups.
 * Layout: data N × C × spatial, weight M × C/groups × kernel (ConvTranspose: C × M/groups × kernel).
 */
import type { Dim, Emit, Value, ValueType } from "#graph";
import { addDims, elementCount, Miss, multiplyDims, unknownDim } from "#graph";
import { type AxisLink, type AxisRule, type Contribution, defineOp, type Site } from "./define.ts";
import { readInteger, readIntegers } from "./shared/attributes.ts";
import {
  type ChannelBlocks,
  convolveInBlocks,
  createBlocks,
  isFasterInBlocks,
  writeDataGradientInBlocks,
} from "./shared/channel-blocks.ts";
import {
  type ConvSettings,
  convAttributes,
  convAxes,
  convChain,
  convCost,
  convWeight,
  inferConv,
  linkAcrossGroups,
  readConv,
} from "./shared/convolution.ts";
import { inferenceOnly, onIntegers } from "./shared/misses.ts";
import { linkPerChannel, mapLinksToInputs, pickInputs } from "./shared/products.ts";
import { countAttribute, range, requireInput, requireValue, sizesOf, typeOf, withDims } from "./shared/shapes.ts";
import { writeWeightGradient } from "./shared/weight-gradient.ts";
import { explicitPads, kernelExtent, splitPads, spreadSettings, totalPads } from "./shared/window.ts";

const noIntegerKernel = new Miss("ONNX Runtime has no integer kernel for it on CPU");

function writeInputGradient(
  s: ConvSettings,
  emit: Emit,
  [x, w, up]: readonly [Value, Value, Value],
  blocks: ChannelBlocks | undefined,
  take: () => Contribution | undefined,
): Value {
  const [, channels = 1, ...spatial] = sizesOf(x);
  const [, outputs = 1, ...out] = sizesOf(up);
  const rank = spatial.length;
  const pads = explicitPads(s, spatial);
  const extents = spatial.map((_, axis) => kernelExtent(s, axis));
  const { kernel, strides, dilations, group } = s;
  const isStrided = strides.some((stride) => stride !== 1);
  // With strides, computing on inserted zeros outweighs the gain of blocks, except for depthwise kernels.
  if (blocks !== undefined && (!isStrided || group > 1) && outputs >= blocks.size) {
    const addend = (): Value | undefined => {
      const { value, factor = 1 } = take() ?? {};
      return value === undefined || factor === 1 ? value : emit.Mul([value, factor]);
    };
    const isFaster = typeOf(x) === "float32" && isFasterInBlocks(s, outputs, channels, blocks.size);
    const blockedGradient = isFaster
      ? writeDataGradientInBlocks(s, emit, { up, w, sizes: spatial, pads }, blocks, addend)
      : undefined;
    if (blockedGradient !== undefined) return blockedGradient;
  }
  const flipPads = [0, 1].flatMap((side) =>
    spatial.map((_, axis) => (extents[axis] ?? 1) - 1 - (pads[side * rank + axis] ?? 0)),
  );
  const isPoint = kernel.every((size) => size === 1);
  // Conv copies windows of `outputs` channels, ConvTranspose windows of `channels`. The smaller copy is faster.
  if (group === 1 && (isPoint || channels >= outputs) && !isStrided && flipPads.every((pad) => pad >= 0)) {
    const axes = range(rank, 2);
    const forEachAxis = (bound: number): readonly number[] => axes.map(() => bound);
    const flippedWeight = isPoint
      ? w
      : emit.Slice([w, forEachAxis(-1), forEachAxis(Number.MIN_SAFE_INTEGER), axes, forEachAxis(-1)]);
    const swappedWeight = emit.Transpose([flippedWeight], { perm: [1, 0, ...axes] });
    return emit.Conv([up, swappedWeight], { kernel_shape: kernel, dilations, pads: flipPads, strides });
  }
  const spreadPads = spreadSettings(s, spatial, out);
  return emit.ConvTranspose([up, w], { kernel_shape: kernel, strides, dilations, group, ...spreadPads });
}

function requiredDataType(
  site: Site,
  channels: (dims: readonly Dim[]) => Dim,
): readonly { input: number; type: ValueType }[] {
  const weight = site.inputs[1];
  if (weight?.dims === undefined) return [];
  const { type, dims } = weight;
  return [
    { input: 0, type: { type, dims: dims.map((_, axis) => (axis === 1 ? channels(dims) : unknownDim("", axis))) } },
  ];
}

const biasGradient = (emit: Emit, up: Value): Value =>
  emit.ReduceSum([up, [0, ...range(sizesOf(up).length - 2, 2)]], { keepdims: 0 });

export const Conv = defineOp<ConvSettings>({
  name: "Conv",
  mustBe: (site) => requiredDataType(site, (dims) => multiplyDims(dims[1] ?? 1, readInteger(site, "group", 1))),
  read: readConv,
  infer: inferConv,
  parameters: [1, 2],
  weight: (s, site) => {
    const weightRole = convWeight(s, site);
    const window = { axes: range(s.strides.length, 2), strides: s.strides, groups: "group" };
    return weightRole instanceof Miss ? weightRole : { ...weightRole, biasInput: 2, window, chain: convChain(s) };
  },
  homogeneous: [[0, 1], [2]],
  axes: convAxes,
  inChannelBlocks: (s, emit, [x, w, bias], block) => {
    if (x === undefined || w === undefined || typeOf(x) !== "float32") return undefined;
    const [, channels = 1, ...spatial] = sizesOf(x);
    const [outputs = 1] = sizesOf(w);
    if (!isFasterInBlocks(s, channels, outputs, block)) return undefined;
    return [convolveInBlocks({ ...s, pads: explicitPads(s, spatial) }, emit, [x, w, bias], createBlocks(emit, block))];
  },
  gradient: (s, { emit, inputs: [x, kernel], up, wanted, take, channelBlock }) => {
    const w = requireValue(kernel);
    const blocks = channelBlock === undefined ? undefined : createBlocks(emit, channelBlock);
    return [
      wanted(0) ? writeInputGradient(s, emit, [x, w, up], blocks, () => take(0)) : undefined,
      wanted(1) ? writeWeightGradient(s, emit, [x, w, up], { blocks, takePrevious: () => take(1) }) : undefined,
      wanted(2) ? biasGradient(emit, up) : undefined,
    ];
  },
  cost: convCost,
  quantize: (s, site) => {
    const weightRole = convWeight(s, site);
    if (weightRole instanceof Miss) return weightRole;
    return {
      kind: "weighted",
      weight: weightRole,
      ...(weightRole.bias === undefined ? {} : { biasFactor: 1 }),
      integerTransposed: false,
      integer: (emit, { x, weight: w, xZeroPoint, weightZeroPoint }) =>
        emit.ConvInteger([x, w, xZeroPoint, weightZeroPoint], convAttributes(s)),
      channelDims: (channels) => [channels, ...s.kernel.map(() => 1)],
    };
  },
});

export const ConvInteger = defineOp<ConvSettings>({
  name: "ConvInteger",
  read: readConv,
  infer: (s, site) => inferConv(s, site, "int32"),
  parameters: [],
  // The third input of ConvInteger is a zero point, not a bias.
  weight: (s, site) => convWeight(s, { ...site, inputs: site.inputs.slice(0, 2) }),
  codes: [
    { input: 0, zeroPoint: 2 },
    { input: 1, zeroPoint: 3 },
  ],
  // Input 4 does not exist, so links of the bias are ignored.
  axes: (s, site) => {
    const zeroPoints = linkPerChannel(site, [3], 1);
    return zeroPoints instanceof Miss ? zeroPoints : mapLinksToInputs(convAxes(s, site), [0, 1, 4], zeroPoints);
  },
  cost: convCost,
  ...onIntegers,
});

interface TransposedSettings extends ConvSettings {
  readonly outputPadding: readonly number[];
  readonly outputShape: readonly number[] | undefined;
}

function transposedDims(s: TransposedSettings, x: readonly Dim[], w: readonly Dim[]): readonly Dim[] {
  const spatial = x.slice(2).map((size, axis): Dim => {
    const stride = s.strides[axis] ?? 1;
    if (s.outputShape !== undefined) return s.outputShape[axis] ?? 1;
    if (s.autoPad.startsWith("SAME")) return multiplyDims(size, stride);
    const end = (s.outputPadding[axis] ?? 0) + kernelExtent(s, axis) - totalPads(s, axis);
    return addDims(multiplyDims(addDims(size, -1), stride), end);
  });
  return [x[0] as Dim, multiplyDims(w[1] as Dim, s.group), ...spatial];
}

/** Returns the cropped output positions per side. With `output_shape` or SAME padding, the output size determines their sum. */
function transposedPads(s: TransposedSettings, spatial: readonly number[], out: readonly number[]): readonly number[] {
  if (s.outputShape === undefined && !s.autoPad.startsWith("SAME")) return s.pads;
  const total = spatial.map((size, axis) => {
    const uncroppedSize = (s.strides[axis] ?? 1) * (size - 1) + (s.outputPadding[axis] ?? 0) + kernelExtent(s, axis);
    return Math.max(0, uncroppedSize - (out[axis] ?? 1));
  });
  return splitPads(s.autoPad, total);
}

function transposedAxes(s: TransposedSettings, site: Site): AxisRule | Miss {
  return withDims(site, [1], ([channels, perGroupOut]) => {
    const commonLinks: AxisLink[] = [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in0", 1], to: ["in1", 0] },
      { from: ["in2", 0], to: ["out0", 1] },
    ];
    if (s.group === 1) return { links: [...commonLinks, { from: ["in1", 1], to: ["out0", 1] }] };
    if (typeof channels !== "number" || typeof perGroupOut !== "number")
      return new Miss("the dimensions of its weight are not known");
    if (channels === s.group) {
      const kernelsOfChannel = (c: number): number[] => range(perGroupOut, c * perGroupOut);
      const reason = "the kernels of a channel go together, with the channel";
      return {
        links: [
          ...commonLinks,
          { from: ["in1", 0], to: ["out0", 1], map: kernelsOfChannel },
          { refuses: ["in1", 1], reason },
        ],
        resize: (removal) => countAttribute("group", removal.dims("in0")[1]),
      };
    }
    return {
      links: [
        ...commonLinks,
        { from: ["in0", 1], to: ["in0", 1], map: linkAcrossGroups(s.group, channels / s.group) },
        { from: ["in1", 1], to: ["out0", 1], map: linkAcrossGroups(s.group, perGroupOut) },
      ],
    };
  });
}

export const ConvTranspose = defineOp<TransposedSettings>({
  name: "ConvTranspose",
  mustBe: (site) => requiredDataType(site, ([channels = 1]) => channels),
  read: (site) => {
    const s = readConv(site);
    if (s instanceof Miss) return s;
    return {
      ...s,
      outputPadding: readIntegers(site, "output_padding") ?? s.kernel.map(() => 0),
      outputShape: readIntegers(site, "output_shape"),
    };
  },
  infer: (s, site) => {
    const dims = withDims(site, [0, 1], (x, w) => transposedDims(s, x, w));
    return dims instanceof Miss ? dims : [{ type: requireInput(site, 0).type, dims }];
  },
  parameters: [1, 2],
  weight: (s, site) => {
    const weightRole = convWeight(s, site);
    return weightRole instanceof Miss ? weightRole : { ...weightRole, out: 1, in: 0, biasInput: 2, readsZeros: true };
  },
  homogeneous: [[0, 1], [2]],
  axes: transposedAxes,
  // ConvTranspose is the transpose of a Conv. dx is therefore this Conv of dy, and dw is its kernel gradient with x and dy swapped.
  gradient: (s, { emit, inputs: [x, w], up, wanted }) => {
    const pads = transposedPads(s, sizesOf(x).slice(2), sizesOf(up).slice(2));
    const explicitSettings = { ...s, autoPad: "NOTSET", pads };
    return [
      wanted(0) ? emit.Conv([up, w], convAttributes(explicitSettings)) : undefined,
      wanted(1) ? writeWeightGradient(explicitSettings, emit, [up, requireValue(w), x]) : undefined,
      wanted(2) ? biasGradient(emit, up) : undefined,
    ];
  },
  cost: (_, site) => withDims(site, [0, 1], (x, w) => multiplyDims(elementCount(x), elementCount(w.slice(1)))),
  quantize: noIntegerKernel,
});

const convSiteOf = (site: Site): Site => pickInputs(site, [0, 1, 3]);

/** Reads each kernel position at an interpolated offset, optionally times a mask. Offsets: N × (offset groups · kernel positions · 2) × output. */
export const DeformConv = defineOp({
  name: "DeformConv",
  sameType: 0,
  read: (site) => {
    const s = readConv(site);
    return s instanceof Miss ? s : { ...s, offsetGroups: readInteger(site, "offset_group", 1) };
  },
  infer: (s, site) => inferConv(s, convSiteOf(site)),
  parameters: [1, 3],
  weight: (s, site) => {
    const weightRole = convWeight(s, convSiteOf(site));
    if (weightRole instanceof Miss) return weightRole;
    return { ...weightRole, ...(weightRole.bias === undefined ? {} : { bias: 3 }), readsZeros: true };
  },
  axes: inferenceOnly,
  gradient: inferenceOnly,
  cost: (s, site) => convCost(s, convSiteOf(site)),
  quantize: noIntegerKernel,
});
