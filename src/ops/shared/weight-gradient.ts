/**
 * The gradient of a convolution by its kernel: for each tap k of the kernel the products of what the tap saw with what came back there,
 *
 *     dW[m, c, k] = Σ over samples and places p   dY[m, p] · X[c, stride · p + dilation · k]
 *
 * where X is padded. No form of it is the fastest for all shapes. Measured on CPU (x64, AVX-512), with batches of 16 and 128:
 * - "taps": for each tap a slice, and a product of matrices per sample. The best for many places and a middling number of channels.
 * - "rows": the taps of a row of the kernel side by side in one product. Three to four times as fast for 1 or 3 channels, whose products are
 *   too narrow by themselves, and even from 16 on.
 * - "channels last": slices of data whose channels lie together. Twice as fast for strides from 32 channels on, and by a tenth to a half for
 *   64 channels or more on small pictures.
 * - "channel by channel", for depthwise kernels: what the tap saw times what came back, added up. Two to five times as fast on small pictures,
 *   slower on large ones.
 *
 * - "one product", for kernels of one tap: samples and places side by side in one sum, after a transposition, where that is less than a product
 *   per sample that has to be added up. Two to eight times as fast for many channels on small pictures, and what momentum carries is added
 *   by the product itself.
 *
 * Where the runtime convolves over blocks of channels (`channel-blocks.ts`), the gradient is a convolution there too, of what the layer saw, by
 * what came back as the kernel, with stride and dilation in each other's place, and nothing is sliced:
 * - "samples in blocks": channels are the samples, and samples are the channels. Two to three times as fast as the forms above, and it runs in
 *   as many threads as there are, where slices take one.
 * - "depthwise in blocks": each channel of each sample by itself; then samples are added up. Ten times as fast and more.
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount } from "../../tensor/dims.ts";
import type { Contribution } from "../define.ts";
import { type Blocks, whole, widenBlocks } from "./channel-blocks.ts";
import type { ConvSettings } from "./convolution.ts";
import { fixed, integersConstant, reshapeTo, scalar, typeOf } from "./rules.ts";
import { explicitPads, extent } from "./window.ts";

export const forms = [
  "taps",
  "rows",
  "channels last",
  "channel by channel",
  "one product",
  "samples in blocks",
  "depthwise in blocks",
] as const;

export type Form = (typeof forms)[number];

interface Shape {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  /** Of the output. */
  readonly out: readonly number[];
  readonly places: number;
}

function shapeOf(x: Value, up: Value): Shape {
  const [batch = 1, channels = 1] = fixed(x);
  const [, outputs = 1, ...out] = fixed(up);
  return { batch, channels, outputs, out, places: elementCount(out) };
}

/** Up to how many places of the output a picture is small. */
const small = 256;

/** The forms that can write it. */
export function formsFor(s: ConvSettings, x: Value, up: Value, block?: number): readonly Form[] {
  const { group, kernel } = s;
  const { batch, channels, outputs } = shapeOf(x, up);
  const blocks = block !== undefined && kernel.length === 2 && typeOf(x) === "float32" ? block : undefined;
  if (group === 1) {
    const samples: readonly Form[] = blocks !== undefined && batch % blocks === 0 ? ["samples in blocks"] : [];
    const one: readonly Form[] = isProduct(s, x) ? ["one product"] : [];
    return ["taps", "rows", "channels last", ...one, ...samples];
  }
  if (channels !== group || outputs !== group) return ["taps"];
  return ["taps", "channel by channel", ...(blocks === undefined ? [] : (["depthwise in blocks"] as const))];
}

/** Whether each place of the output saw the one place of the data that lies there. */
function isProduct(s: ConvSettings, x: Value): boolean {
  const still = elementCount(s.kernel) === 1 && s.strides.every((stride) => stride === 1);
  return still && explicitPads(s, fixed(x).slice(2)).every((pad) => pad === 0);
}

/** The form that is written unless another is asked for. */
export function fastest(s: ConvSettings, x: Value, up: Value, block: number | undefined): Form {
  const { channels, outputs, places } = shapeOf(x, up);
  if (elementCount(s.kernel) === 1) {
    const fewPlaces = places * (channels + outputs) < channels * outputs;
    return s.group === 1 && fewPlaces && isProduct(s, x) ? "one product" : "taps";
  }
  const possible = formsFor(s, x, up, block);
  if (possible.includes("depthwise in blocks")) return "depthwise in blocks";
  if (possible.includes("samples in blocks")) return "samples in blocks";
  if (s.group > 1) return possible.includes("channel by channel") && places <= small ? "channel by channel" : "taps";
  if (channels <= 8) return "rows";
  const strided = s.strides.some((stride) => stride > 1);
  return (strided && channels >= 32) || (channels >= 64 && places <= small) ? "channels last" : "taps";
}

export interface WeightGradientOptions {
  readonly blocks?: Blocks | undefined;
  /** What was contributed so far, for a form that adds to it for free. */
  readonly take?: () => Contribution | undefined;
  readonly form?: Form;
}

/** dLoss/dW in the kernel's dimensions, from the data, the kernel and dLoss/dY. */
export function weightGradient(
  s: ConvSettings,
  emit: Emit,
  [x, w, up]: readonly [Value, Value, Value],
  { blocks, take = () => undefined, form = fastest(s, x, up, blocks?.size) }: WeightGradientOptions = {},
): Value {
  const shape = shapeOf(x, up);
  if (form === "one product") return reshapeTo(emit, oneProduct(emit, x, up, shape, take()), fixed(w));
  if (blocks !== undefined && form === "samples in blocks")
    return reshapeTo(emit, samplesInBlocks(s, emit, x, up, shape, blocks), fixed(w));
  if (blocks !== undefined && form === "depthwise in blocks")
    return reshapeTo(emit, depthwiseInBlocks(s, emit, x, up, shape, blocks), fixed(w));
  const writer = plain[form];
  if (writer === undefined) throw new RangeError(`the form "${form}" needs blocks of channels`);
  return reshapeTo(emit, writer(s, emit, x, up, shape), fixed(w));
}

type Writer = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: Shape) => Value;
type BlockWriter = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: Shape, blocks: Blocks) => Value;

const taps: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
  const padded = pad(s, emit, x, 2);
  const grouped = (value: Value, count: number): Value =>
    reshapeTo(emit, value, [batch, s.group, count / s.group, places]);
  const upstream = grouped(up, outputs);
  const products = positions(s.kernel).map((tap) => {
    // batch × group × M/g × places times its transpose partner: M/g × C/g for each sample, then summed over samples.
    const seen = grouped(seenBy(s, emit, padded, tap, out, 2), channels);
    return overSamples(emit, emit["com.microsoft.FusedMatMul"]([upstream, seen], { transB: 1 }));
  });
  return beside(emit, products, [outputs, channels / s.group, 1], 2);
};

const rows: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
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

const channelsLast: Writer = (s, emit, x, up, { batch, channels, outputs, out, places }) => {
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

const channelByChannel: Writer = (s, emit, x, up, { outputs, out }) => {
  const padded = pad(s, emit, x, 2);
  const others = [0, ...out.map((_, axis) => axis + 2)];
  const sums = positions(s.kernel).map((tap) =>
    emit.ReduceSum([emit.Mul([up, seenBy(s, emit, padded, tap, out, 2)]), integersConstant(emit, others)], {
      keepdims: 0,
    }),
  );
  return beside(emit, sums, [outputs, 1, 1], 2);
};

function oneProduct(
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
 * Channels × samples × H × W convolved with outputs × samples × the places of the output, which gives channels × outputs × taps. The kernel
 * needs the samples of dY in blocks inside the blocks of its outputs: its blocks of channels, moved. A block of samples is a group, so that what
 * came back for it stays in the cache, and no sum is longer than a block; the groups are added up.
 */
const samplesInBlocks: BlockWriter = (s, emit, x, up, { batch, channels, outputs, out, places }, blocks) => {
  const { size } = blocks;
  const [groups, all] = [batch / size, whole(outputs, size)];
  const { cut, before, after } = seenPlaces(s, emit, x, out);
  const turned = blocks.of(emit.Transpose([cut], { perm: [1, 0, 2, 3] }));
  const data = widenBlocks(emit, turned, before[1] ?? 0, after[1] ?? 0, size);
  const parts = [groups, size, ...(all === size ? [] : [all / size]), places, size];
  const order = all === size ? [0, 2, 1, 3] : [0, 2, 3, 1, 4];
  const moved = emit.Transpose([reshapeTo(emit, blocks.of(up), parts)], { perm: order });
  const products = emit["com.microsoft.nchwc.Conv"]([data, reshapeTo(emit, moved, [groups * all, size, ...out])], {
    kernel_shape: out,
    strides: s.dilations,
    dilations: s.strides,
    pads: [before[0] ?? 0, 0, after[0] ?? 0, 0],
    group: groups,
  });
  const apart = reshapeTo(emit, products, [channels, groups, all * elementCount(s.kernel)]);
  const summed = groups === 1 ? apart : emit.ReduceSum([apart, integersConstant(emit, [1])], { keepdims: 0 });
  const taps = emit["com.microsoft.nchwc.ReorderOutput"]([reshapeTo(emit, summed, [channels, all, ...s.kernel])], {
    channels: outputs,
  });
  return emit.Transpose([taps], { perm: [1, 0, 2, 3] });
};

const depthwiseInBlocks: BlockWriter = (s, emit, x, up, { batch, channels, out }, blocks) => {
  const { size } = blocks;
  const { cut, before, after } = seenPlaces(s, emit, x, out);
  const all = batch * whole(channels, size);
  const data = widenBlocks(emit, blocks.of(cut), before[1] ?? 0, after[1] ?? 0, size);
  const products = emit["com.microsoft.nchwc.Conv"](
    [reshapeTo(emit, data, [1, all, ...fixed(data).slice(2)]), reshapeTo(emit, blocks.of(up), [all, 1, ...out])],
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

const plain: Readonly<Partial<Record<Form, Writer>>> = {
  taps,
  rows,
  "channels last": channelsLast,
  "channel by channel": channelByChannel,
};

/** The data without what no tap sees, and the zeros around it that some do. */
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
  const list = (values: readonly number[]): Value => integersConstant(emit, values);
  const cut = emit.Slice([x, list(axes.map(() => 0)), list(ends), list(axes.map((axis) => axis + 2))]);
  return { cut, before, after: pads };
}

/** The coordinates of all taps of a kernel, row-major. */
function positions(kernel: readonly number[]): readonly (readonly number[])[] {
  return kernel.reduce<readonly (readonly number[])[]>(
    (before, size) => before.flatMap((start) => Array.from({ length: size }, (_, at) => [...start, at])),
    [[]],
  );
}

/** The data with its pads; `first` is its first spatial axis. */
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
  return emit.Pad([x, integersConstant(emit, both), scalar(emit, typeOf(x), 0)]);
}

/** What a tap saw: one place of the padded data for each place of the output. */
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
  return emit.Slice([padded, ...[starts, ends, axes, steps].map((list) => integersConstant(emit, list))]);
}

const overSamples = (emit: Emit, products: Value, keepdims = 0): Value =>
  emit.ReduceSum([products, integersConstant(emit, [0])], { keepdims });

/** Parts in these dimensions, joined along an axis. */
function beside(emit: Emit, parts: readonly Value[], dims: readonly number[], axis: number): Value {
  const shaped = parts.map((part) => reshapeTo(emit, part, dims));
  const [only] = shaped;
  return shaped.length === 1 && only !== undefined ? only : emit.Concat(shaped, { axis });
}
