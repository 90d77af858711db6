/**
 * Operators that ONNX Runtime's optimization level `all` writes for one kind of processor:
 * - com.microsoft.nchwc: channels in blocks of 8 or 16 (SIMD width). Values keep the dimensions N × C × spatial, with C rounded up to
 *   complete blocks; kernels are blocked, too. ReorderInput converts to blocks, ReorderOutput back.
 * - NhwcMaxPool: channels last, for integers.
 * Pith reads, types and runs such models, but does not transform them.
 */
import { Miss } from "../../errors.ts";
import { type Dim, multiplyDims } from "../../tensor/dims.ts";
import type { AxisLink, Op, OpDef, Site } from "../define.ts";
import { integer, integers } from "../shared/attributes.ts";
import { inBlocks } from "../shared/channel-blocks.ts";
import {
  type ConvSettings,
  channelsFirst,
  channelsLast,
  convCost,
  convDims,
  readConv,
  withChannelsFirst,
} from "../shared/convolution.ts";
import { inert } from "../shared/inert.ts";
import { quantizedAlready } from "../shared/misses.ts";
import { shaped, withDims } from "../shared/rules.ts";
import { globallyPooled, padding, pooledDims, readPool, type Window } from "../shared/window.ts";
import { microsoftOp } from "./typed.ts";

const blocks = new Miss(
  "its channels are stored in blocks for one kind of processor: optimize the model again in ONNX Runtime, at a graph optimization level below 'all'",
);

/** Defines an operator of the blocked layout with types and cost only. */
function blocked<S = null>(
  name: string,
  dims: (s: S, x: readonly Dim[], site: Site) => readonly Dim[] | Miss,
  more: Partial<Pick<OpDef<S>, "read" | "cost" | "parameters" | "inChannelBlocks">> = {},
): Op {
  return inert<S>(blocks, {
    name,
    domain: "com.microsoft.nchwc",
    infer: (s, site) => shaped(site, (x) => dims(s, x, site)),
    weight: blocks,
    lower: blocks,
    ...more,
  });
}

/** Channels enter unblocked, first or last. Their number stays if it fills complete blocks of 16. */
export const ReorderInput = blocked<{ readonly last: boolean }>(
  "ReorderInput",
  ({ last }, x, site) => {
    const [batch, channels, ...spatial] = last ? channelsFirst(x) : x;
    const whole = typeof channels === "number" && channels % 16 === 0 ? channels : site.open(0, 1);
    return [batch as Dim, whole, ...spatial];
  },
  {
    read: (site) => ({ last: integer(site, "channels_last", 0) !== 0 }),
    inChannelBlocks: ({ last }, _, [x], block) => {
      const there = last ? undefined : inBlocks(x, block);
      return there === undefined ? undefined : [there];
    },
  },
);

export const ReorderOutput = blocked<{ readonly last: boolean; readonly channels: number }>(
  "ReorderOutput",
  ({ last, channels }, [batch, , ...spatial]) =>
    last ? [batch as Dim, ...spatial, channels] : [batch as Dim, channels, ...spatial],
  { read: (site) => ({ last: integer(site, "channels_last", 0) !== 0, channels: integer(site, "channels", 0) }) },
);

export const Upsample = blocked<readonly number[]>(
  "Upsample",
  (scales, x) => x.map((dim, axis) => multiplyDims(dim, scales[axis] ?? 1)),
  { read: (site) => integers(site, "scales") ?? new Miss("has no scales") },
);

export const NhwcMaxPool = microsoftOp<Window>({
  name: "NhwcMaxPool",
  read: readPool,
  infer: (s, site) => shaped(site, (dims) => channelsLast(pooledDims(s, channelsFirst(dims)))),
  axes: ({ kernel: { length } }) => [0, length + 1].map((at): AxisLink => ({ from: ["in0", at], to: ["out0", at] })),
  lower: (s, emit, [data]) => {
    const { kernel, strides, dilations, ceil } = s;
    const settings = { kernel_shape: kernel, strides, dilations, ceil_mode: ceil ? 1 : 0, ...padding(s) };
    return [withChannelsFirst(emit, kernel.length + 2, [data], (first) => emit.MaxPool(first, settings))];
  },
  gradient: new Miss("selects among integers"),
  quantize: quantizedAlready,
});

export const microsoftLayoutOperators: readonly Op[] = [
  blocked<ConvSettings>("Conv", (s, x, site) => withDims(site, [1], (w) => convDims(s, x, w)), {
    read: readConv,
    cost: convCost,
    parameters: [1, 2],
  }),
  blocked<Window>("MaxPool", pooledDims, { read: readPool }),
  blocked<Window>("AveragePool", pooledDims, { read: readPool }),
  blocked("GlobalMaxPool", (_, x) => globallyPooled(x)),
  blocked("GlobalAveragePool", (_, x) => globallyPooled(x)),
];
