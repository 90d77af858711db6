/**
 * Pooling by a norm, (Σ |x|ᵖ)^(1/p) over a window (LpPool) or all places (GlobalLpPool), and what undoes a pooling or a cutting into windows:
 * MaxUnpool puts numbers back where MaxPool found them, Col2Im adds up overlapping blocks.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, divideDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Op, type Site } from "./define.ts";
import { constantIntegers, integer, integers } from "./shared/attributes.ts";
import { integersConstant, need, sameAxes, scalar, typeOf } from "./shared/rules.ts";
import { readWindow, spreadSettings, type Window, windowDims } from "./shared/window.ts";

/** Samples and channels pass through; places do not. */
const channelAxes = (_: unknown, site: Site) => {
  const rule = sameAxes(site);
  return rule instanceof Miss ? rule : { links: rule.links.slice(0, 2) };
};

interface LpSettings extends Window {
  readonly p: number;
}

const LpPool = defineOp<LpSettings>({
  name: "LpPool",
  sameType: 0,
  read: (site) => {
    const kernel = integers(site, "kernel_shape");
    return kernel === undefined
      ? new Miss("has no kernel_shape")
      : { ...readWindow(site, kernel), p: integer(site, "p", 2) };
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    return [{ type, dims: dims === undefined ? undefined : [...dims.slice(0, 2), ...windowDims(s, dims.slice(2))] }];
  },
  axes: channelAxes,
  // The mean over a window, in which padding counts as 0, times the window's size.
  lower: (s, emit, [x]) => {
    if (x === undefined) return new Miss("an operand is missing");
    if (s.ceil || s.dilations.some((step) => step !== 1)) return new Miss("its windows are cut off or dilated");
    const { kernel, strides, pads, autoPad, p } = s;
    const number = (value: number) => scalar(emit, typeOf(x), value);
    const power = p === 1 ? emit.Abs([x]) : p === 2 ? emit.Mul([x, x]) : emit.Pow([emit.Abs([x]), number(p)]);
    const mean = emit.AveragePool([power], {
      kernel_shape: kernel,
      strides,
      count_include_pad: 1,
      ...(autoPad === "NOTSET" || autoPad === "VALID" ? { pads } : { auto_pad: autoPad }),
    });
    const sum = emit.Mul([mean, number(kernel.reduce((count, size) => count * size, 1))]);
    return [p === 1 ? sum : emit.Pow([sum, number(1 / p)])];
  },
});

const GlobalLpPool = defineOp<{ readonly p: number }>({
  name: "GlobalLpPool",
  read: (site) => ({ p: integer(site, "p", 2) }),
  infer: (_, site) => {
    const { type, dims } = need(site, 0);
    return [{ type, dims: dims?.map((dim, axis) => (axis < 2 ? dim : 1)) }];
  },
  axes: channelAxes,
  lower: (s, emit, [x]) => {
    const rank = x?.type?.dims?.length;
    if (x === undefined || rank === undefined) return new Miss("the rank of its input is not known");
    const places = integersConstant(
      emit,
      Array.from({ length: rank - 2 }, (_, axis) => axis + 2),
    );
    if (s.p === 1 || s.p === 2) return [emit[s.p === 1 ? "ReduceL1" : "ReduceL2"]([x, places], { keepdims: 1 })];
    const number = (value: number) => scalar(emit, typeOf(x), value);
    const sum = emit.ReduceSum([emit.Pow([emit.Abs([x]), number(s.p)]), places], { keepdims: 1 });
    return [emit.Pow([sum, number(1 / s.p)])];
  },
});

const MaxUnpool = defineOp<Window>({
  name: "MaxUnpool",
  sameType: 0,
  read: (site) => {
    const kernel = integers(site, "kernel_shape");
    return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (site.inputs[2] !== undefined) return [{ type, dims: site.inputs[2].elements }];
    if (dims === undefined) return [{ type, dims }];
    const rank = s.kernel.length;
    const places = dims.slice(2).map((size, axis) => {
      const pads = (s.pads[axis] ?? 0) + (s.pads[rank + axis] ?? 0);
      return addDims(multiplyDims(addDims(size, -1), s.strides[axis] ?? 1), (s.kernel[axis] ?? 1) - pads);
    });
    return [{ type, dims: [...dims.slice(0, 2), ...places] }];
  },
  axes: new Miss("its indices count every element"),
  // The gradient at the place where each number went.
  gradient: (_, { emit, inputs: [, indices], upstream: [up] }) => {
    if (indices === undefined || up === undefined) return [];
    return [emit.Gather([emit.Reshape([up, integersConstant(emit, [-1])]), indices], { axis: 0 })];
  },
});

interface BlockSettings extends Window {
  readonly image: readonly Dim[] | undefined;
}

/** N × (C · block) × windows → N × C × image: what a convolution's windows saw, added up where they overlap. */
const Col2Im = defineOp<BlockSettings>({
  name: "Col2Im",
  sameType: 0,
  read: (site) => {
    const block = constantIntegers(site.inputs[2]);
    return block === undefined
      ? new Miss("the size of its blocks is not known")
      : { ...readWindow(site, block), image: site.inputs[1]?.elements };
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const channels = dims?.[1] === undefined ? undefined : divideDims(dims[1], blockSize(s));
    if (dims === undefined || channels === undefined || s.image === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [dims[0] as Dim, channels, ...s.image] }];
  },
  axes: (s) => {
    const count = blockSize(s);
    const block = (channel: number): number[] => Array.from({ length: count }, (_, place) => channel * count + place);
    const whole = (index: number): number[] => block(Math.floor(index / count));
    const links: AxisLink[] = [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in0", 1], to: ["in0", 1], map: whole },
      { from: ["out0", 1], to: ["in0", 1], map: block },
    ];
    return { links };
  },
  // A transposed convolution whose kernels are 1 at one place each.
  lower: (s, emit, [x]) => {
    const channels = x?.type?.dims?.[1];
    const image = s.image?.every((size) => typeof size === "number") ? (s.image as readonly number[]) : undefined;
    if (x === undefined || typeof channels !== "number" || image === undefined)
      return new Miss("the size of its image is not known");
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`sums ${type}`);
    const count = blockSize(s);
    const windows = windowDims(s, image) as readonly number[];
    const kernels = Array.from({ length: count * count }, (_, at) => (at % (count + 1) === 0 ? 1 : 0));
    const weight = emit.constant(fromNumbers(type, [count, 1, ...s.kernel], kernels), "places");
    const apart = emit.Reshape([x, integersConstant(emit, [-1, count, ...windows])]);
    const sum = emit.ConvTranspose([apart, weight], {
      kernel_shape: s.kernel,
      strides: s.strides,
      dilations: s.dilations,
      ...spreadSettings(s, image, windows),
    });
    return [emit.Reshape([sum, integersConstant(emit, [-1, channels / count, ...image])])];
  },
});

function blockSize(s: Window): number {
  return s.kernel.reduce((count, size) => count * size, 1);
}

export const lpPoolOperators: readonly Op[] = [LpPool, GlobalLpPool, MaxUnpool, Col2Im];
