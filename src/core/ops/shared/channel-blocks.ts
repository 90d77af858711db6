/**
 * Writes convolutions over blocks of channels (`com.microsoft.nchwc`) for training steps, because ONNX Runtime's CPU optimizer uses this layout for
 * stored kernels only. A block has b channels, the number of floats in a SIMD register (16 or 8):
 *     data       N × C × H × W  stored as  N × C/b × H × W × b  (ReorderInput converts to blocks, ReorderOutput back)
 *     kernel     M × C × h × w  stored as  M/b × C/b × h × w × b (of C) × b (of M)
 *     depthwise  C × 1 × h × w  stored as  C/b × h × w × b
 */
import { type Emit, elementCount, type Node, type Value } from "#graph";
import type { ConvSettings } from "./convolution.ts";
import { fillWith, range, reshapeTo, sizesOf, typeOf } from "./shapes.ts";

export interface ChannelBlocks {
  readonly size: number;
  /** Returns x in blocked layout. Calls with the same value share one ReorderInput. */
  toBlocked(x: Value): Value;
}

/** Returns the blocked form of x if a ReorderOutput produced x from complete blocks. */
export function blockedFormOf(x: Value | undefined, size: number): Value | undefined {
  const producer = x?.producer;
  if (producer === undefined || !isReorder(producer, "ReorderOutput")) return undefined;
  return (sizesOf(x)[1] ?? 1) % size === 0 ? producer.inputs[0] : undefined;
}

const isReorder = ({ op, domain, attributes }: Node, name: string): boolean =>
  domain === "com.microsoft.nchwc" && op === name && !attributes.has("channels_last");

export const reorderFromBlocks = (emit: Emit, x: Value, channels = sizesOf(x)[1] ?? 1): Value =>
  emit["com.microsoft.nchwc.ReorderOutput"]([x], { channels });

/** Reorders four channels into one block. The size of the result shows the block size of this machine. */
export const reorderOneBlock = (emit: Emit, fourChannels: Value): Value =>
  emit["com.microsoft.nchwc.ReorderInput"]([fourChannels]);

export const roundUpToBlocks = (channels: number, size: number): number => Math.ceil(channels / size) * size;

export function createBlocks(emit: Emit, size: number): ChannelBlocks {
  const blockedForms = new Map<Value, Value>();
  return {
    size,
    toBlocked(x) {
      const existingForm = blockedForms.get(x) ?? blockedFormOf(x, size);
      if (existingForm !== undefined) return existingForm;
      const [batch = 1, channels = 1, ...spatial] = sizesOf(x);
      // ReorderInput requires a multiple of four channels.
      const paddedToFours = padTo(emit, x, [batch, Math.ceil(channels / 4) * 4]);
      const existingReorder = [...paddedToFours.uses].find(({ node }) => isReorder(node, "ReorderInput"))?.node
        .outputs[0];
      const reordered = existingReorder ?? emit["com.microsoft.nchwc.ReorderInput"]([paddedToFours]);
      const dims = [batch, roundUpToBlocks(channels, size), ...spatial];
      const blockedForm = channels % size === 0 && channels % 16 === 0 ? reordered : reshapeTo(emit, reordered, dims);
      blockedForms.set(x, blockedForm);
      return blockedForm;
    },
  };
}

export function isFasterInBlocks(s: ConvSettings, channels: number, outputs: number, size: number): boolean {
  if (s.kernel.length !== 2 || elementCount(s.kernel) === 1) return false;
  if (s.group > 1) return s.group === channels && channels === outputs;
  // The kernel reads channels of an incomplete block one by one, which is faster if the output channels fill blocks.
  if (channels < size) return outputs % size === 0;
  return roundUpToBlocks(channels, size) * roundUpToBlocks(outputs, size) <= (4 / 3) * channels * outputs;
}

/** Writes a kernel M × C × h × w in blocks. `isReversed`: the kernel of the data gradient, C × M × h × w with reversed kernel positions. */
function reorderKernel(emit: Emit, w: Value, group: number, size: number, isReversed: boolean): Value {
  const [outputs = 1, inputs = 1, ...kernel] = sizesOf(w);
  const taps = elementCount(kernel);
  const reverseTaps = (value: Value, axis: number): Value =>
    isReversed && taps > 1 ? emit.Slice([value, [-1], [Number.MIN_SAFE_INTEGER], [axis], [-1]]) : value;
  if (group > 1) {
    const paddedChannels = roundUpToBlocks(outputs, size);
    const blocks = reshapeTo(emit, padTo(emit, w, [paddedChannels, 1]), [paddedChannels / size, size, taps]);
    return reshapeTo(emit, reverseTaps(emit.Transpose([blocks], { perm: [0, 2, 1] }), 1), [
      paddedChannels,
      1,
      ...kernel,
    ]);
  }
  const isNarrow = !isReversed && inputs < size;
  const [m, c] = [roundUpToBlocks(outputs, size), isNarrow ? inputs : roundUpToBlocks(inputs, size)];
  const inputBlock = isNarrow ? 1 : size;
  const parts = reshapeTo(emit, padTo(emit, w, [m, c]), [m / size, size, c / inputBlock, inputBlock, taps]);
  const order = isReversed ? [2, 0, 4, 1, 3] : [0, 2, 4, 3, 1];
  const blocks = reverseTaps(emit.Transpose([parts], { perm: order }), 2);
  return reshapeTo(emit, blocks, [...(isReversed ? [c, m] : [m, c]), ...kernel]);
}

function padTo(emit: Emit, x: Value, sizes: readonly number[]): Value {
  return sizes.reduce((value, size, axis) => {
    const dims = sizesOf(value);
    const missingCount = size - (dims[axis] ?? size);
    if (missingCount === 0) return value;
    return emit.Concat([value, fillWith(emit, typeOf(value), dims.with(axis, missingCount), 0)], { axis });
  }, x);
}

export function convolveInBlocks(
  s: ConvSettings,
  emit: Emit,
  [x, w, bias]: readonly [Value, Value, Value | undefined],
  blocks: ChannelBlocks,
): Value {
  const { kernel, strides, dilations, pads, group } = s;
  const [outputs = 1] = sizesOf(w);
  const [, channels = 1] = sizesOf(x);
  const isNarrow = group === 1 && channels < blocks.size;
  const y = emit["com.microsoft.nchwc.Conv"](
    [
      isNarrow ? x : blocks.toBlocked(x),
      reorderKernel(emit, w, group, blocks.size, false),
      bias === undefined ? undefined : padTo(emit, bias, [roundUpToBlocks(outputs, blocks.size)]),
    ],
    { kernel_shape: kernel, strides, dilations, pads, group: group === 1 ? 1 : roundUpToBlocks(group, blocks.size) },
  );
  return reorderFromBlocks(emit, y, outputs);
}

/** dY, spread by the strides, convolved with the reversed kernel, plus `addend`; undefined if it would need negative padding. */
export function writeDataGradientInBlocks(
  s: ConvSettings,
  emit: Emit,
  { up, w, sizes, pads }: { up: Value; w: Value; sizes: readonly number[]; pads: readonly number[] },
  blocks: ChannelBlocks,
  addend: () => Value | undefined,
): Value | undefined {
  const { kernel, dilations, strides, group } = s;
  const [batch = 1, outputs = 1, ...outSizes] = sizesOf(up);
  const kernelReach = kernel.map((size, axis) => (size - 1) * (dilations[axis] ?? 1));
  const padsBefore = kernelReach.map((size, axis) => size - (pads[axis] ?? 0));
  const padsAfter = kernelReach.map((size, axis) => {
    const spacing = (outSizes[axis] ?? 1) * (strides[axis] ?? 1);
    return (sizes[axis] ?? 1) - spacing + size - (padsBefore[axis] ?? 0);
  });
  if ([...padsBefore, ...padsAfter].some((pad) => pad < 0)) return undefined;
  const channels = group > 1 ? group : (sizesOf(w)[1] ?? 1);
  const addendValue = addend();
  const dx = emit["com.microsoft.nchwc.Conv"](
    [
      insertZeros(
        emit,
        blocks.toBlocked(up),
        [batch, roundUpToBlocks(outputs, blocks.size), ...outSizes],
        strides,
        blocks.size,
      ),
      reorderKernel(emit, w, group, blocks.size, true),
      undefined,
      addendValue === undefined ? undefined : blocks.toBlocked(addendValue),
    ],
    {
      kernel_shape: kernel,
      dilations,
      pads: [...padsBefore, ...padsAfter],
      group: group === 1 ? 1 : roundUpToBlocks(group, blocks.size),
    },
  );
  return reorderFromBlocks(emit, dx, channels);
}

/** Inserts stride - 1 zeros after each spatial position. */
function insertZeros(
  emit: Emit,
  blockedData: Value,
  [batch = 1, channels = 1, height = 1, width = 1]: readonly number[],
  [strideY = 1, strideX = 1]: readonly number[],
  size: number,
): Value {
  if (strideY === 1 && strideX === 1) return blockedData;
  const rows = (batch * channels * height) / size;
  const spacedColumns = padRows(emit, blockedData, [rows * width, size], 0, (strideX - 1) * size);
  const length = width * strideX * size;
  const spacedRows = padRows(emit, spacedColumns, [rows, length], 0, (strideY - 1) * length);
  return reshapeTo(emit, spacedRows, [batch, channels, height * strideY, width * strideX]);
}

/** Reshapes a value to rows, and pads each row with zeros. */
export function padRows(
  emit: Emit,
  value: Value,
  [rows, length]: readonly [number, number],
  before: number,
  after: number,
): Value {
  const matrix = reshapeTo(emit, value, [rows, length]);
  const zeros = (count: number): readonly Value[] =>
    count === 0 ? [] : [fillWith(emit, typeOf(value), [rows, count], 0)];
  return before + after === 0 ? matrix : emit.Concat([...zeros(before), matrix, ...zeros(after)], { axis: 1 });
}

interface ScaleInputs {
  readonly scale: Value;
  readonly shift: Value | undefined;
  readonly sum?: Value | undefined;
  readonly activation?: "Relu";
}

/** Writes scale · x + shift per channel, as a depthwise 1 × 1 convolution. */
export function scaleInBlocks(emit: Emit, x: Value, { scale, shift, sum, activation }: ScaleInputs): Value {
  const [, channels = 1] = sizesOf(x);
  const kernel = reshapeTo(emit, scale, [channels, 1, 1, 1]);
  const settings = { kernel_shape: [1, 1], group: channels, ...(activation === undefined ? {} : { activation }) };
  return emit["com.microsoft.nchwc.Conv"]([x, kernel, shift, sum], settings);
}

/** Returns the inputs of the `scaleInBlocks` that produced y; undefined if y has several readers. */
export function matchScaleInBlocks(y: Value, size: number): (ScaleInputs & { readonly x: Value }) | undefined {
  const blockedForm = blockedFormOf(y, size);
  const node = blockedForm?.producer;
  if (node?.op !== "Conv" || y.uses.size !== 1 || blockedForm?.uses.size !== 1) return undefined;
  const [x, scale, shift, sum] = node.inputs;
  if (x === undefined || scale === undefined || node.attributes.has("activation")) return undefined;
  return elementCount(sizesOf(scale)) === sizesOf(y)[1] ? { x, scale, shift, sum } : undefined;
}

/** Writes Σ x (average pooling) or Σ x · y (y as kernel) per channel. At most 1024 values are added in a row, which limits rounding errors. */
export function sumInBlocks(emit: Emit, x: Value, y: Value | undefined, size: number): Value {
  const [batch = 1, channels = 1, ...spatial] = sizesOf(x);
  const positions = elementCount(spatial);
  const segmentLength = range(1024, 1).findLast((divisor) => positions % divisor === 0) ?? positions;
  const segments = (batch * channels * positions) / segmentLength;
  const data = reshapeTo(emit, x, [1, segments, segmentLength, 1]);
  const sums =
    y === undefined
      ? emit.Mul([emit["com.microsoft.nchwc.GlobalAveragePool"]([data]), segmentLength])
      : emit["com.microsoft.nchwc.Conv"]([data, reshapeTo(emit, y, [segments, 1, segmentLength, 1])], {
          kernel_shape: [segmentLength, 1],
          group: segments,
        });
  const parts = reshapeTo(emit, sums, [batch, channels / size, positions / segmentLength, size]);
  return reshapeTo(emit, emit.ReduceSum([parts, [0, 2]], { keepdims: 0 }), [channels]);
}
