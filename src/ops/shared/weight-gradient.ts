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
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount } from "../../tensor/dims.ts";
import type { ConvSettings } from "./convolution.ts";
import { fixed, integersConstant, reshapeTo, scalar, typeOf } from "./rules.ts";
import { explicitPads } from "./window.ts";

export const forms = ["taps", "rows", "channels last", "channel by channel"] as const;

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
export function formsFor({ group }: ConvSettings, x: Value, up: Value): readonly Form[] {
  const { channels, outputs } = shapeOf(x, up);
  if (group === 1) return ["taps", "rows", "channels last"];
  return channels === group && outputs === group ? ["taps", "channel by channel"] : ["taps"];
}

function fastest(s: ConvSettings, x: Value, up: Value): Form {
  const { channels, places } = shapeOf(x, up);
  if (elementCount(s.kernel) === 1) return "taps";
  if (s.group > 1)
    return formsFor(s, x, up).includes("channel by channel") && places <= small ? "channel by channel" : "taps";
  if (channels <= 8) return "rows";
  const strided = s.strides.some((stride) => stride > 1);
  return (strided && channels >= 32) || (channels >= 64 && places <= small) ? "channels last" : "taps";
}

/** dLoss/dW in the kernel's dimensions, from the data, the kernel and dLoss/dY. */
export function weightGradient(
  s: ConvSettings,
  emit: Emit,
  x: Value,
  w: Value,
  up: Value,
  form: Form = fastest(s, x, up),
): Value {
  const shape = shapeOf(x, up);
  const stacked = { taps, rows, "channels last": channelsLast, "channel by channel": channelByChannel }[form];
  return reshapeTo(emit, stacked(s, emit, x, up, shape), fixed(w));
}

type Writer = (s: ConvSettings, emit: Emit, x: Value, up: Value, shape: Shape) => Value;

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

const overSamples = (emit: Emit, products: Value): Value =>
  emit.ReduceSum([products, integersConstant(emit, [0])], { keepdims: 0 });

/** Parts in these dimensions, joined along an axis. */
function beside(emit: Emit, parts: readonly Value[], dims: readonly number[], axis: number): Value {
  const shaped = parts.map((part) => reshapeTo(emit, part, dims));
  const [only] = shaped;
  return shaped.length === 1 && only !== undefined ? only : emit.Concat(shaped, { axis });
}
