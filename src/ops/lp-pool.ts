/**
 * Pooling by a norm, (Σ |x|ᵖ)^(1/p) over a window (LpPool) or all places (GlobalLpPool), and what undoes a pooling or a cutting into windows:
 * MaxUnpool puts numbers back where MaxPool found them, Col2Im adds up overlapping blocks.
 */
import { Miss } from "../errors.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, divideDims, elementCount, fixedDims, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op } from "./define.ts";
import { constantIntegers, integer } from "./shared/attributes.ts";
import { integersConstant, need, range, scalar, shaped, typeOf } from "./shared/rules.ts";
import {
  channelAxes,
  globallyPooled,
  padding,
  pooledDims,
  readPool,
  readWindow,
  spreadSettings,
  type Window,
  windowDims,
} from "./shared/window.ts";

interface LpSettings extends Window {
  readonly p: number;
}

const LpPool = defineOp<LpSettings>({
  name: "LpPool",
  sameType: 0,
  read: (site) => {
    const window = readPool(site);
    return window instanceof Miss ? window : { ...window, p: integer(site, "p", 2) };
  },
  infer: (s, site) => shaped(site, (dims) => pooledDims(s, dims)),
  axes: channelAxes,
  // The mean over a window, in which padding counts as 0, times the window's size.
  lower: (s, emit, [x]) => {
    if (s.ceil || s.dilations.some((step) => step !== 1)) return new Miss("its windows are cut off or dilated");
    const { kernel, strides, p } = s;
    const number = (value: number) => scalar(emit, typeOf(x), value);
    const power = p === 1 ? emit.Abs([x]) : p === 2 ? emit.Mul([x, x]) : emit.Pow([emit.Abs([x]), number(p)]);
    const settings = { kernel_shape: kernel, strides, count_include_pad: 1, ...padding(s) };
    const sum = emit.Mul([emit.AveragePool([power], settings), number(elementCount(kernel))]);
    return [p === 1 ? sum : emit.Pow([sum, number(1 / p)])];
  },
});

const GlobalLpPool = defineOp<{ readonly p: number }>({
  name: "GlobalLpPool",
  read: (site) => ({ p: integer(site, "p", 2) }),
  infer: (_, site) => shaped(site, globallyPooled),
  axes: channelAxes,
  lower: (s, emit, [x]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return new Miss("the rank of its input is not known");
    const places = integersConstant(emit, range(rank - 2, 2));
    if (s.p === 1 || s.p === 2) return [emit[s.p === 1 ? "ReduceL1" : "ReduceL2"]([x, places], { keepdims: 1 })];
    const number = (value: number) => scalar(emit, typeOf(x), value);
    const sum = emit.ReduceSum([emit.Pow([emit.Abs([x]), number(s.p)]), places], { keepdims: 1 });
    return [emit.Pow([sum, number(1 / s.p)])];
  },
});

const MaxUnpool = defineOp<Window>({
  name: "MaxUnpool",
  sameType: 0,
  read: readPool,
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
  gradient: (_, { emit, inputs: [, indices], up }) => {
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
  infer: (s, site) =>
    shaped(site, ([batch = 1, blocks = 1]) => {
      const channels = divideDims(blocks, elementCount(s.kernel));
      return channels === undefined || s.image === undefined ? undefined : [batch, channels, ...s.image];
    }),
  axes: (s) => {
    const count = elementCount(s.kernel);
    const block = (channel: number): number[] => range(count, channel * count);
    const whole = (index: number): number[] => block(Math.floor(index / count));
    return [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in0", 1], to: ["in0", 1], map: whole },
      { from: ["out0", 1], to: ["in0", 1], map: block },
    ];
  },
  // A transposed convolution whose kernels are 1 at one place each.
  lower: (s, emit, [x]) => {
    const channels = x.type?.dims?.[1];
    const image = fixedDims(s.image);
    if (typeof channels !== "number" || image === undefined) return new Miss("the size of its image is not known");
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`sums ${type}`);
    const count = elementCount(s.kernel);
    const windows = windowDims(s, image) as readonly number[];
    const kernels = Array.from({ length: count * count }, (_, at) => (at % (count + 1) === 0 ? 1 : 0));
    const weight = emit.constant(fromNumbers(type, [count, 1, ...s.kernel], kernels), "places");
    const apart = emit.Reshape([x, integersConstant(emit, [-1, count, ...windows])]);
    const { kernel, strides, dilations } = s;
    const settings = { kernel_shape: kernel, strides, dilations, ...spreadSettings(s, image, windows) };
    const sum = emit.ConvTranspose([apart, weight], settings);
    return [emit.Reshape([sum, integersConstant(emit, [-1, channels / count, ...image])])];
  },
});

export const lpPoolOperators: readonly Op[] = [LpPool, GlobalLpPool, MaxUnpool, Col2Im];
