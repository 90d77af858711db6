/**
 * Operators on the layouts that ONNX Runtime's highest level of optimization (`all`) writes for one kind of processor:
 * - com.microsoft.nchwc: channels in blocks of 8 or 16, as wide as the processor's registers. Values keep the dimensions N × C × spatial,
 *   with C rounded up to whole blocks; kernels are stored in blocks too. ReorderInput goes there, ReorderOutput back.
 * - NhwcMaxPool: channels last, for integers.
 * Networks of blocks are opened, typed and run, and otherwise left alone: their numbers lie in another order.
 */
import { Miss } from "../../errors.ts";
import { type Dim, multiplyDims } from "../../tensor/dims.ts";
import { defineOp, type Inferred, type Op, type OpDef, type Site } from "../define.ts";
import { integer, integers } from "../shared/attributes.ts";
import { type ConvSettings, convCost, convDims, readConv } from "../shared/convolution.ts";
import { quantizedAlready } from "../shared/misses.ts";
import { need } from "../shared/rules.ts";
import { readWindow, type Window, windowDims } from "../shared/window.ts";

const blocks = new Miss(
  "its channels are stored in blocks for one kind of processor: optimize below level all instead",
);

/** An operator of the blocked layout: types and cost are known, the rest is left alone. */
function blocked<S>(
  name: string,
  read: OpDef<S>["read"],
  dims: (s: S, site: Site) => readonly Dim[] | Miss,
  cost?: OpDef<S>["cost"],
  parameters: readonly number[] = [],
): Op {
  return defineOp<S>({
    name,
    domain: "com.microsoft.nchwc",
    read,
    infer: (s, site): readonly Inferred[] | Miss => {
      const { type, dims: given } = need(site, 0);
      if (given === undefined) return [{ type, dims: undefined }];
      const found = dims(s, site);
      return found instanceof Miss ? found : [{ type, dims: found }];
    },
    parameters: (_, site) => parameters.filter((input) => site.inputs[input]?.stored === true),
    weight: blocks,
    axes: blocks,
    lower: blocks,
    gradient: blocks,
    cost,
    quantize: blocks,
  });
}

const given = (site: Site): readonly Dim[] => need(site, 0).dims ?? [];

const Conv = blocked<ConvSettings>("Conv", readConv, convDims, convCost, [1, 2]);

function readPool(site: Site): Window | Miss {
  const kernel = integers(site, "kernel_shape");
  return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
}

const pooled = (s: Window, site: Site): readonly Dim[] => [
  ...given(site).slice(0, 2),
  ...windowDims(s, given(site).slice(2)),
];

const global = (_: unknown, site: Site): readonly Dim[] => given(site).map((dim, axis) => (axis < 2 ? dim : 1));

/** Channels come in one by one, first or last, and leave in blocks: as many as there were if they fill whole blocks of 16. */
const ReorderInput = blocked<{ readonly last: boolean }>(
  "ReorderInput",
  (site) => ({ last: integer(site, "channels_last", 0) !== 0 }),
  ({ last }, site) => {
    const dims = given(site);
    const [channels, spatial] = last ? [dims.at(-1), dims.slice(1, -1)] : [dims[1], dims.slice(2)];
    const whole = typeof channels === "number" && channels % 16 === 0 ? channels : site.open(0, 1);
    return [dims[0] as Dim, whole, ...spatial];
  },
);

const ReorderOutput = blocked<{ readonly last: boolean; readonly channels: number }>(
  "ReorderOutput",
  (site) => ({ last: integer(site, "channels_last", 0) !== 0, channels: integer(site, "channels", 0) }),
  ({ last, channels }, site) => {
    const [batch, , ...spatial] = given(site);
    return last ? [batch as Dim, ...spatial, channels] : [batch as Dim, channels, ...spatial];
  },
);

const Upsample = blocked<readonly number[]>(
  "Upsample",
  (site) => integers(site, "scales") ?? new Miss("has no scales"),
  (scales, site) => given(site).map((dim, axis) => multiplyDims(dim, scales[axis] ?? 1)),
);

/** MaxPool of 8-bit integers, N × spatial × C. */
const NhwcMaxPool = defineOp<Window>({
  name: "NhwcMaxPool",
  domain: "com.microsoft",
  read: readPool,
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined) return [{ type, dims }];
    return [{ type, dims: [dims[0] as Dim, ...windowDims(s, dims.slice(1, -1)), dims.at(-1) as Dim] }];
  },
  axes: (s) => ({
    links: [
      { from: ["in0", 0], to: ["out0", 0] },
      { from: ["in0", s.kernel.length + 1], to: ["out0", s.kernel.length + 1] },
    ],
  }),
  lower: (s, emit, [x]) => {
    if (x === undefined) return new Miss("its data is missing");
    const spatial = s.kernel.map((_, axis) => axis + 1);
    const { kernel, strides, dilations, pads, autoPad, ceil } = s;
    const padding = autoPad === "NOTSET" || autoPad === "VALID" ? { pads } : { auto_pad: autoPad };
    const first = emit.Transpose([x], { perm: [0, spatial.length + 1, ...spatial] });
    const y = emit.MaxPool([first], { kernel_shape: kernel, strides, dilations, ceil_mode: ceil ? 1 : 0, ...padding });
    return [emit.Transpose([y], { perm: [0, ...spatial.map((axis) => axis + 1), 1] })];
  },
  gradient: new Miss("selects among integers"),
  quantize: quantizedAlready,
});

export const microsoftLayoutOperators: readonly Op[] = [
  Conv,
  blocked("MaxPool", readPool, pooled),
  blocked("AveragePool", readPool, pooled),
  blocked("GlobalMaxPool", () => null, global),
  blocked("GlobalAveragePool", () => null, global),
  ReorderInput,
  ReorderOutput,
  Upsample,
  NhwcMaxPool,
];
