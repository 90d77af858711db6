/**
 * Forms of the gradient of a convolution by its kernel. X is padded; p runs over output positions:
 *     dW[m, c, k] = Σ over samples and p   dY[m, p] · X[c, stride · p + dilation · k]
 * - taps: for each tap a slice, and one matrix product per sample.
 * - rows: the taps of one kernel row are concatenated in one product.
 * - channels last: slices of data in channels-last layout.
 * - channel by channel (depthwise kernels): elementwise product, then a sum.
 * - one product (1 × 1 kernels): samples and positions in one sum, after a transposition, if that is cheaper than summing products per sample.
 * With blocked channels (`channel-blocks.ts`) the gradient is itself a convolution without slices: dY is the kernel, and stride and dilation swap.
 * - samples in blocks: samples act as channels, channels as the width, positions as the height.
 * - depthwise in blocks: each channel of each sample is convolved separately; then samples are added up.
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount } from "../../tensor/dims.ts";
import type { Contribution } from "../define.ts";
import { type Blocks, whole, widened } from "./channel-blocks.ts";
import type { ConvSettings } from "./convolution.ts";
import { fixed, reshapeTo } from "./rules.ts";
import { explicitPads, extent } from "./window.ts";

interface Shape {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly out: readonly number[];
  readonly places: number;
}

export function shapeOf(x: Value, up: Value): Shape {
  const [batch = 1, channels = 1] = fixed(x);
  const [, outputs = 1, ...out] = fixed(up);
  return { batch, channels, outputs, out, places: elementCount(out) };
}

/** Writes the gradient with as many elements as the kernel, possibly in other dimensions. */
export type Writer = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: Shape) => Value;
type BlockWriter = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: Shape, blocks: Blocks) => Value;

export const taps: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
  const padded = pad(s, emit, x, 2);
  const grouped = (value: Value, count: number): Value =>
    reshapeTo(emit, value, [batch, s.group, count / s.group, places]);
  const upstream = grouped(up, outputs);
  const products = positions(s.kernel).map((tap) => {
    // (batch × group × M/g × positions) · its transposed partner = M/g × C/g per sample; then samples are summed.
    const seen = grouped(seenBy(s, emit, padded, tap, out, 2), channels);
    return overSamples(emit, emit["com.microsoft.FusedMatMul"]([upstream, seen], { transB: 1 }));
  });
  return beside(emit, products, [outputs, channels / s.group, 1], 2);
};

export const rows: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
  const padded = pad(s, emit, x, 2);
  const upstream = reshapeTo(emit, up, [batch, outputs, places]);
  const all = positions(s.kernel);
  const length = s.kernel.at(-1) ?? 1;
  const products = Array.from({ length: all.length / length }, (_, row) => {
    const seen = all
      .slice(row * length, (row + 1) * length)
      .map((tap) => reshapeTo(emit, seenBy(s, emit, padded, tap, out, 2), [batch, channels, places]));
    const [only] = seen;
    const wide = length === 1 && only !== undefined ? only : emit.Concat(seen, { axis: 1 });
    return overSamples(emit, emit["com.microsoft.FusedMatMul"]([upstream, wide], { transB: 1 }));
  });
  const stacked = beside(emit, products, [outputs, length, channels], 1);
  return emit.Transpose([stacked], { perm: [0, 2, 1] });
};

export const channelsLast: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
  const order = fixed(x).map((_, axis) => axis);
  const turned = emit.Transpose([x], { perm: [0, ...order.slice(2), 1] });
  const padded = pad(s, emit, turned, 1);
  const upstream = reshapeTo(emit, up, [batch, outputs, places]);
  const products = positions(s.kernel).map((tap) => {
    const seen = reshapeTo(emit, seenBy(s, emit, padded, tap, out, 1), [batch, places, channels]);
    return overSamples(emit, emit.MatMul([upstream, seen]));
  });
  return beside(emit, products, [outputs, channels, 1], 2);
};

export const channelByChannel: Writer = (s, emit, x, up, { outputs, out }) => {
  const padded = pad(s, emit, x, 2);
  const others = [0, ...out.map((_, axis) => axis + 2)];
  const sums = positions(s.kernel).map((tap) =>
    emit.ReduceSum([emit.Mul([up, seenBy(s, emit, padded, tap, out, 2)]), others], {
      keepdims: 0,
    }),
  );
  return beside(emit, sums, [outputs, 1, 1], 2);
};

export function oneProduct(
  emit: Emit,
  x: Value,
  up: Value,
  { batch, channels, outputs, places }: Shape,
  before: Contribution | undefined,
): Value {
  const beside = (value: Value, count: number): Value => {
    const turned = emit.Transpose([reshapeTo(emit, value, [batch, count, places])], { perm: [1, 0, 2] });
    return reshapeTo(emit, turned, [count, batch * places]);
  };
  const factors = [beside(up, outputs), beside(x, channels)];
  if (before === undefined) return emit.Gemm(factors, { transB: 1 });
  const carried = reshapeTo(emit, before.value, [outputs, channels]);
  return emit.Gemm([...factors, carried], { transB: 1, beta: before.factor });
}

/**
 * Channels become the width of an image, the positions of the data (row by row) its height, and samples its channels:
 *     data    samples/b × (rows · pitch) × channels × b        kernel  samples/b × outputs/b × (rows · pitch) × b × b
 * Each row is padded with zeros by the reach of the kernel, so the next position is the next tap. One convolution handles one tap of a kernel row
 * (they differ in pads); the taps of a column are its output rows. Six channels × four output blocks at a time fill the registers.
 * A block of samples is a group, and groups are added up, so no sum is longer than a block.
 */
export const samplesInBlocks: BlockWriter = (s, emit, x, up, { batch, channels, outputs, out }, blocks) => {
  const { size } = blocks;
  const [groups, all] = [batch / size, whole(outputs, size)];
  const [[rows = 1, columns = 1], [taps = 1, wide = 1]] = [out, s.kernel];
  const [[down = 1, along = 1], [further = 1, beside = 1]] = [s.strides, s.dilations];
  const { cut, before, after } = seenPlaces(s, emit, x, out);
  const [, , height = 1, width = 1] = fixed(cut);
  const [above = 0, left = 0] = before;
  // A kernel row spans several data rows; leading zeros fill the unused part.
  const start = (pitch: number, tap: number): number => (above + down) * pitch - along * columns + left - tap * beside;
  let pitch = width + Math.max(left, after[1] ?? 0);
  while ((pitch * down) % along !== 0 || start(pitch, wide - 1) < 0 || pitch * down < along * columns) pitch += 1;
  const spaced = (pitch * down) / along;
  const places = pitch * height - 1 - along * (rows * spaced - 1);

  const last = samplesLast(emit, cut, blocks);
  const unit = channels * size;
  const data = widened(emit, last, [groups * height, width * unit], 0, (pitch - width) * unit);
  const parts = [groups, size, all / size, rows * columns, size];
  const moved = emit.Transpose([reshapeTo(emit, blocks.of(up), parts)], { perm: [0, 2, 3, 1, 4] });
  const square = size * size;
  const kernel = widened(emit, moved, [(groups * all * rows) / size, columns * square], (spaced - columns) * square, 0);
  const products = Array.from({ length: wide }, (_, tap) => {
    const top = start(pitch, tap);
    const product = emit["com.microsoft.nchwc.Conv"](
      [
        reshapeTo(emit, data, [1, batch, height * pitch, channels]),
        reshapeTo(emit, kernel, [groups * all, size, rows * spaced, 1]),
      ],
      {
        kernel_shape: [rows * spaced, 1],
        strides: [further * pitch, 1],
        dilations: [along, 1],
        pads: [top, 0, Math.max(0, (taps - 1) * further * pitch - places - top), 0],
        group: groups,
      },
    );
    return reshapeTo(emit, product, [1, groups, all * taps * channels]);
  });
  const summed = emit.ReduceSum([emit.Concat(products, { axis: 0 }), [1]], { keepdims: 0 });
  const apart = reshapeTo(emit, summed, [wide, all / size, taps, channels, size]);
  const turned = reshapeTo(emit, emit.Transpose([apart], { perm: [1, 4, 3, 2, 0] }), [all, channels, taps, wide]);
  return outputs === all ? turned : emit.Slice([turned, [0], [outputs], [0]]);
};

/** Returns samples/b × positions × channels × b. */
function samplesLast(emit: Emit, x: Value, blocks: Blocks): Value {
  const { size } = blocks;
  const [batch = 1, channels = 1, ...spatial] = fixed(x);
  const places = elementCount(spatial);
  const inBlocks = channels % size === 0;
  const turned = emit["com.microsoft.nchwc.ReorderInput"]([
    reshapeTo(emit, inBlocks ? blocks.of(x) : x, [1, batch, channels * places, 1]),
  ]);
  const unit = inBlocks ? size : 1;
  const parts = [batch / size, channels / unit, places, unit * size];
  return channels === unit ? turned : emit.Transpose([reshapeTo(emit, turned, parts)], { perm: [0, 2, 1, 3] });
}

export const depthwiseInBlocks: BlockWriter = (s, emit, x, up, { batch, channels, out }, blocks) => {
  const { size } = blocks;
  const { cut, before, after } = seenPlaces(s, emit, x, out);
  const all = batch * whole(channels, size);
  const [, , height = 1, width = 1] = fixed(cut);
  const [left = 0, right = 0] = [before[1], after[1]];
  const rows: readonly [number, number] = [(all * height) / size, width * size];
  const data = widened(emit, blocks.of(cut), rows, left * size, right * size);
  const products = emit["com.microsoft.nchwc.Conv"](
    [reshapeTo(emit, data, [1, all, height, left + width + right]), reshapeTo(emit, blocks.of(up), [all, 1, ...out])],
    {
      kernel_shape: out,
      strides: s.dilations,
      dilations: s.strides,
      pads: [before[0] ?? 0, 0, after[0] ?? 0, 0],
      group: all,
    },
  );
  const shaped = reshapeTo(emit, products, [batch, whole(channels, size), ...s.kernel]);
  return emit["com.microsoft.nchwc.ReorderOutput"]([overSamples(emit, shaped, 1)], { channels });
};

/** Returns the data without positions that no tap reads, with the zeros that some taps do read. */
function seenPlaces(
  s: ConvSettings,
  emit: Emit,
  x: Value,
  out: readonly number[],
): { readonly cut: Value; readonly before: readonly number[]; readonly after: readonly number[] } {
  const spatial = fixed(x).slice(2);
  const before = explicitPads(s, spatial).slice(0, spatial.length);
  const after = spatial.map((size, axis) => {
    const seen = ((out[axis] ?? 1) - 1) * (s.strides[axis] ?? 1) + extent(s, axis);
    return seen - size - (before[axis] ?? 0);
  });
  const axes = [0, 1].filter((axis) => (after[axis] ?? 0) < 0);
  const pads = after.map((pad) => Math.max(0, pad));
  if (axes.length === 0) return { cut: x, before, after: pads };
  const ends = axes.map((axis) => (spatial[axis] ?? 0) + (after[axis] ?? 0));
  const cut = emit.Slice([x, axes.map(() => 0), ends, axes.map((axis) => axis + 2)]);
  return { cut, before, after: pads };
}

function positions(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (before, size) => before.flatMap((start) => Array.from({ length: size }, (_, at) => [...start, at])),
    [[]],
  );
}

function pad(s: ConvSettings, emit: Emit, x: Value, first: number): Value {
  const spatial = fixed(x).slice(first, first + s.kernel.length);
  const pads = explicitPads(s, spatial);
  if (pads.every((size) => size === 0)) return x;
  const rest = fixed(x).length - first - spatial.length;
  const around = (sizes: readonly number[]): number[] => [
    ...new Array<number>(first).fill(0),
    ...sizes,
    ...new Array<number>(rest).fill(0),
  ];
  const both = [...around(pads.slice(0, spatial.length)), ...around(pads.slice(spatial.length))];
  return emit.Pad([x, both, 0]);
}

/** Returns the padded data that a tap reads: one position per output position. */
function seenBy(
  s: ConvSettings,
  emit: Emit,
  padded: Value,
  tap: readonly number[],
  out: readonly number[],
  first: number,
): Value {
  const spatial = fixed(padded).slice(first, first + out.length);
  const steps = out.map((_, axis) => s.strides[axis] ?? 1);
  const starts = tap.map((offset, axis) => offset * (s.dilations[axis] ?? 1));
  const ends = out.map((size, axis) => (starts[axis] ?? 0) + (size - 1) * (steps[axis] ?? 1) + 1);
  if (steps.every((step) => step === 1) && ends.every((end, axis) => starts[axis] === 0 && end === spatial[axis]))
    return padded;
  const axes = out.map((_, axis) => axis + first);
  return emit.Slice([padded, starts, ends, axes, steps]);
}

const overSamples = (emit: Emit, products: Value, keepdims = 0): Value => emit.ReduceSum([products, [0]], { keepdims });

function beside(emit: Emit, parts: readonly Value[], dims: readonly number[], axis: number): Value {
  const shaped = parts.map((part) => reshapeTo(emit, part, dims));
  const [only] = shaped;
  return shaped.length === 1 && only !== undefined ? only : emit.Concat(shaped, { axis });
}
