/**
 * Writes the kernel gradient of a convolution in several equivalent forms. X is padded, k is a tap (kernel position), and p runs over output positions:
 *     dW[m, c, k] = Σ over samples and p   dY[m, p] · X[c, stride · p + dilation · k]
 * - taps: slices the data for each tap and multiplies matrices per sample.
 * - rows: concatenates the slices of one kernel row, so that one matrix product handles the row.
 * - channels last: like taps, on data in channels-last layout.
 * - channel by channel (depthwise kernels): multiplies elementwise for each tap, then sums.
 * - one product (1 × 1 kernels): transposes data and dY, so that one matrix product sums over samples and positions.
 * With blocked channels (`channel-blocks.ts`) the gradient is a convolution of X with dY as the kernel, in which stride and dilation swap.
 * - samples in blocks: samples take the role of channels, channels that of the width, and positions that of the height.
 * - depthwise in blocks: each channel of each sample is convolved separately; then samples are added up.
 */
import { type Emit, elementCount, type Value } from "#graph";
import type { Contribution } from "../define.ts";
import { type ChannelBlocks, padRows, roundUpToBlocks } from "./channel-blocks.ts";
import type { ConvSettings } from "./convolution.ts";
import { range, reshapeTo, sizesOf } from "./shapes.ts";
import { explicitPads, kernelExtent } from "./window.ts";

interface ConvShapes {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly out: readonly number[];
  readonly positions: number;
}

export function shapesOf(x: Value, up: Value): ConvShapes {
  const [batch = 1, channels = 1] = sizesOf(x);
  const [, outputs = 1, ...out] = sizesOf(up);
  return { batch, channels, outputs, out, positions: elementCount(out) };
}

/** Writes the kernel gradient, with its elements in the order of the kernel. The result can need a reshape. */
export type FormWriter = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: ConvShapes) => Value;
type BlockFormWriter = (
  s: ConvSettings,
  emit: Emit,
  x: Value,
  up: Value,
  shape: ConvShapes,
  blocks: ChannelBlocks,
) => Value;

export const writeByTaps: FormWriter = (s, emit, x, up, { batch, channels, outputs, out, positions }) => {
  const paddedData = padData(s, emit, x, 2);
  const splitGroups = (value: Value, count: number): Value =>
    reshapeTo(emit, value, [batch, s.group, count / s.group, positions]);
  const upstream = splitGroups(up, outputs);
  const products = tapsOf(s.kernel).map((tap) => {
    // A product per sample: (batch × groups × M/groups × positions) · (batch × groups × C/groups × positions)ᵀ.
    const data = splitGroups(readByTap(s, emit, paddedData, tap, out, 2), channels);
    return sumSamples(emit, emit["com.microsoft.FusedMatMul"]([upstream, data], { transB: 1 }));
  });
  return joinParts(emit, products, [outputs, channels / s.group, 1], 2);
};

export const writeByRows: FormWriter = (s, emit, x, up, { batch, channels, outputs, out, positions }) => {
  const paddedData = padData(s, emit, x, 2);
  const upstream = reshapeTo(emit, up, [batch, outputs, positions]);
  const kernelTaps = tapsOf(s.kernel);
  const length = s.kernel.at(-1) ?? 1;
  const products = range(kernelTaps.length / length).map((row) => {
    const parts = kernelTaps
      .slice(row * length, (row + 1) * length)
      .map((tap) => readByTap(s, emit, paddedData, tap, out, 2));
    const rowData = joinParts(emit, parts, [batch, channels, positions], 1);
    return sumSamples(emit, emit["com.microsoft.FusedMatMul"]([upstream, rowData], { transB: 1 }));
  });
  const gradient = joinParts(emit, products, [outputs, length, channels], 1);
  return emit.Transpose([gradient], { perm: [0, 2, 1] });
};

export const writeChannelsLast: FormWriter = (s, emit, x, up, { batch, channels, outputs, out, positions }) => {
  const transposedData = emit.Transpose([x], { perm: [0, ...range(out.length, 2), 1] });
  const paddedData = padData(s, emit, transposedData, 1);
  const upstream = reshapeTo(emit, up, [batch, outputs, positions]);
  const products = tapsOf(s.kernel).map((tap) => {
    const data = reshapeTo(emit, readByTap(s, emit, paddedData, tap, out, 1), [batch, positions, channels]);
    return sumSamples(emit, emit.MatMul([upstream, data]));
  });
  return joinParts(emit, products, [outputs, channels, 1], 2);
};

export const writeByChannel: FormWriter = (s, emit, x, up, { outputs, out }) => {
  const paddedData = padData(s, emit, x, 2);
  const axes = [0, ...range(out.length, 2)];
  const sums = tapsOf(s.kernel).map((tap) =>
    emit.ReduceSum([emit.Mul([up, readByTap(s, emit, paddedData, tap, out, 2)]), axes], { keepdims: 0 }),
  );
  return joinParts(emit, sums, [outputs, 1, 1], 2);
};

export function writeOneProduct(
  emit: Emit,
  x: Value,
  up: Value,
  { batch, channels, outputs, positions }: ConvShapes,
  contribution: Contribution | undefined,
): Value {
  const mergeSamples = (value: Value, count: number): Value => {
    const transposedValue = emit.Transpose([reshapeTo(emit, value, [batch, count, positions])], { perm: [1, 0, 2] });
    return reshapeTo(emit, transposedValue, [count, batch * positions]);
  };
  const factors = [mergeSamples(up, outputs), mergeSamples(x, channels)];
  if (contribution === undefined) return emit.Gemm(factors, { transB: 1 });
  const addend = reshapeTo(emit, contribution.value, [outputs, channels]);
  return emit.Gemm([...factors, addend], { transB: 1, beta: contribution.factor });
}

/**
 * Writes one convolution over an image with the data's positions (row by row) as height, channels as width and samples as channels. `pitch` is the
 * length of a padded data row:
 *     data    samples/b × (rows · pitch) × channels × b        kernel  samples/b × outputs/b × (rows · spacing) × b × b
 * Data rows are padded with zeros, so that taps beyond a row read zeros. Each tap of a kernel row has one convolution. Its
 * output rows are the taps of a kernel column. A block of samples is a group.
 */
export const writeSamplesInBlocks: BlockFormWriter = (s, emit, x, up, { batch, channels, outputs, out }, blocks) => {
  const { size } = blocks;
  const [groups, filters] = [batch / size, roundUpToBlocks(outputs, size)];
  const [[rows = 1, columns = 1], [kernelRows = 1, kernelColumns = 1]] = [out, s.kernel];
  const [[strideY = 1, strideX = 1], [dilationY = 1, dilationX = 1]] = [s.strides, s.dilations];
  const { cropped, before, after } = cropUnread(s, emit, x, out);
  const [, , height = 1, width = 1] = sizesOf(cropped);
  const [padTop = 0, padLeft = 0] = before;
  // A row of dY corresponds to `strideY` data rows.
  const start = (pitch: number, tap: number): number =>
    (padTop + strideY) * pitch - strideX * columns + padLeft - tap * dilationX;
  const isValidPitch = (pitch: number): boolean =>
    (pitch * strideY) % strideX === 0 && start(pitch, kernelColumns - 1) >= 0 && pitch * strideY >= strideX * columns;
  let pitch = width + Math.max(padLeft, after[1] ?? 0);
  while (!isValidPitch(pitch)) pitch += 1;
  const spacing = (pitch * strideY) / strideX;
  const length = rows * spacing;
  const lastStart = pitch * height - 1 - strideX * (length - 1);

  const positionLength = channels * size;
  const samplesInner = moveSamplesLast(emit, cropped, blocks);
  const data = padRows(
    emit,
    samplesInner,
    [groups * height, width * positionLength],
    0,
    (pitch - width) * positionLength,
  );
  const filterParts = [groups, size, filters / size, rows * columns, size];
  const filter = emit.Transpose([reshapeTo(emit, blocks.toBlocked(up), filterParts)], { perm: [0, 2, 3, 1, 4] });
  const blockArea = size * size;
  const filterRows = (groups * filters * rows) / size;
  const kernel = padRows(emit, filter, [filterRows, columns * blockArea], (spacing - columns) * blockArea, 0);
  const products = range(kernelColumns).map((tap) => {
    const top = start(pitch, tap);
    const product = emit["com.microsoft.nchwc.Conv"](
      [
        reshapeTo(emit, data, [1, batch, height * pitch, channels]),
        reshapeTo(emit, kernel, [groups * filters, size, length, 1]),
      ],
      {
        kernel_shape: [length, 1],
        strides: [dilationY * pitch, 1],
        dilations: [strideX, 1],
        pads: [top, 0, Math.max(0, (kernelRows - 1) * dilationY * pitch - lastStart - top), 0],
        group: groups,
      },
    );
    return reshapeTo(emit, product, [1, groups, filters * kernelRows * channels]);
  });
  const groupSum = emit.ReduceSum([emit.Concat(products, { axis: 0 }), [1]], { keepdims: 0 });
  const blockedGradient = reshapeTo(emit, groupSum, [kernelColumns, filters / size, kernelRows, channels, size]);
  const gradientDims = [filters, channels, kernelRows, kernelColumns];
  const gradient = reshapeTo(emit, emit.Transpose([blockedGradient], { perm: [1, 4, 3, 2, 0] }), gradientDims);
  return outputs === filters ? gradient : emit.Slice([gradient, [0], [outputs], [0]]);
};

/** Reorders data N × C × positions to N/b × positions × C × b, with blocks of samples. */
function moveSamplesLast(emit: Emit, x: Value, blocks: ChannelBlocks): Value {
  const { size } = blocks;
  const [batch = 1, channels = 1, ...spatial] = sizesOf(x);
  const positions = elementCount(spatial);
  const isBlocked = channels % size === 0;
  const reordered = emit["com.microsoft.nchwc.ReorderInput"]([
    reshapeTo(emit, isBlocked ? blocks.toBlocked(x) : x, [1, batch, channels * positions, 1]),
  ]);
  const unit = isBlocked ? size : 1;
  const parts = [batch / size, channels / unit, positions, unit * size];
  return channels === unit ? reordered : emit.Transpose([reshapeTo(emit, reordered, parts)], { perm: [0, 2, 1, 3] });
}

export const writeDepthwiseInBlocks: BlockFormWriter = (s, emit, x, up, { batch, channels, out }, blocks) => {
  const { size } = blocks;
  const { cropped, before, after } = cropUnread(s, emit, x, out);
  const paddedChannels = roundUpToBlocks(channels, size);
  const convolutions = batch * paddedChannels;
  const [, , height = 1, width = 1] = sizesOf(cropped);
  const [padLeft = 0, padRight = 0] = [before[1], after[1]];
  const rows: readonly [number, number] = [(convolutions * height) / size, width * size];
  const data = padRows(emit, blocks.toBlocked(cropped), rows, padLeft * size, padRight * size);
  const dims = [1, convolutions, height, padLeft + width + padRight];
  const products = emit["com.microsoft.nchwc.Conv"](
    [reshapeTo(emit, data, dims), reshapeTo(emit, blocks.toBlocked(up), [convolutions, 1, ...out])],
    {
      kernel_shape: out,
      strides: s.dilations,
      dilations: s.strides,
      pads: [before[0] ?? 0, 0, after[0] ?? 0, 0],
      group: convolutions,
    },
  );
  const perSample = reshapeTo(emit, products, [batch, paddedChannels, ...s.kernel]);
  return emit["com.microsoft.nchwc.ReorderOutput"]([sumSamples(emit, perSample, 1)], { channels });
};

/** Removes positions at the end of each axis that no tap reads. Also returns the padding that taps read. */
function cropUnread(s: ConvSettings, emit: Emit, x: Value, out: readonly number[]) {
  const spatial = sizesOf(x).slice(2);
  const padsBefore = explicitPads(s, spatial).slice(0, spatial.length);
  const overhang = spatial.map((size, axis) => {
    const coveredLength = ((out[axis] ?? 1) - 1) * (s.strides[axis] ?? 1) + kernelExtent(s, axis);
    return coveredLength - size - (padsBefore[axis] ?? 0);
  });
  const axes = [0, 1].filter((axis) => (overhang[axis] ?? 0) < 0);
  const padsAfter = overhang.map((pad) => Math.max(0, pad));
  if (axes.length === 0) return { cropped: x, before: padsBefore, after: padsAfter };
  const ends = axes.map((axis) => (spatial[axis] ?? 0) + (overhang[axis] ?? 0));
  return {
    cropped: emit.Slice([x, axes.map(() => 0), ends, axes.map((axis) => axis + 2)]),
    before: padsBefore,
    after: padsAfter,
  };
}

function tapsOf(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (taps, size) => taps.flatMap((start) => range(size).map((index) => [...start, index])),
    [[]],
  );
}

function padData(s: ConvSettings, emit: Emit, x: Value, firstSpatialAxis: number): Value {
  const dims = sizesOf(x);
  const end = firstSpatialAxis + s.kernel.length;
  const pads = explicitPads(s, dims.slice(firstSpatialAxis, end));
  if (pads.every((size) => size === 0)) return x;
  const padSizes = (sizes: readonly number[]): number[] => dims.map((_, axis) => sizes[axis - firstSpatialAxis] ?? 0);
  return emit.Pad([x, [...padSizes(pads.slice(0, s.kernel.length)), ...padSizes(pads.slice(s.kernel.length))], 0]);
}

/** Slices the padded data to the positions that a tap reads. */
function readByTap(
  s: ConvSettings,
  emit: Emit,
  paddedData: Value,
  tap: readonly number[],
  out: readonly number[],
  firstSpatialAxis: number,
): Value {
  const spatial = sizesOf(paddedData).slice(firstSpatialAxis, firstSpatialAxis + out.length);
  const steps = out.map((_, axis) => s.strides[axis] ?? 1);
  const starts = tap.map((offset, axis) => offset * (s.dilations[axis] ?? 1));
  const ends = out.map((size, axis) => (starts[axis] ?? 0) + (size - 1) * (steps[axis] ?? 1) + 1);
  if (steps.every((step) => step === 1) && ends.every((end, axis) => starts[axis] === 0 && end === spatial[axis]))
    return paddedData;
  return emit.Slice([paddedData, starts, ends, range(out.length, firstSpatialAxis), steps]);
}

const sumSamples = (emit: Emit, products: Value, keepdims = 0): Value => emit.ReduceSum([products, [0]], { keepdims });

function joinParts(emit: Emit, parts: readonly Value[], dims: readonly number[], axis: number): Value {
  const reshapedParts = parts.map((part) => reshapeTo(emit, part, dims));
  const [singlePart] = reshapedParts;
  return reshapedParts.length === 1 && singlePart !== undefined ? singlePart : emit.Concat(reshapedParts, { axis });
}
