/**
 * FusedConv (Conv plus input 3, then an activation), and operators that ONNX Runtime's optimization level `all` writes for one kind of processor:
 * - NhwcConv, NhwcFusedConv (GPU only) and NhwcMaxPool (integers): data N × spatial × C.
 * - com.microsoft.nchwc: channels in blocks of 8 or 16 (SIMD width). Values keep the dimensions N × C × spatial, with C rounded up to complete
 *   blocks; kernels are blocked, too. ReorderInput converts to blocks, ReorderOutput back. Pith only infers types and costs of this layout.
 */
import { type Dim, Miss, multiplyDims } from "#graph";
import type { AxisLink, Op, OpDef, Site } from "../define.ts";
import { type Activation, readActivation, writeActivation } from "../shared/activations.ts";
import { readFlag, readFloats, readInteger, readIntegers, readString } from "../shared/attributes.ts";
import { blockedFormOf } from "../shared/channel-blocks.ts";
import {
  type ConvSettings,
  convAttributes,
  convAxes,
  convCost,
  convDims,
  convWeight,
  inferConv,
  readConv,
  toChannelsFirst,
  toChannelsLast,
  transposeAround,
  withChannelsFirstData,
} from "../shared/convolution.ts";
import { defineInert, defineInertOp, defineMicrosoftOp, gpuOnly } from "../shared/inert.ts";
import { lowerFirst, quantizedAlready } from "../shared/misses.ts";
import { inferShape, withDims } from "../shared/rules.ts";
import { channelAxes, globalPoolDims, poolAttributes, poolDims, readPool, type Window } from "../shared/window.ts";

export const FusedConv = defineMicrosoftOp<ConvSettings & { readonly activation: Activation }>({
  name: "FusedConv",
  read: (site) => {
    const s = readConv(site);
    const activation = readActivation(readString(site, "activation", ""), readFloats(site, "activation_params") ?? []);
    if (s instanceof Miss) return s;
    return activation instanceof Miss ? activation : { ...s, activation };
  },
  infer: inferConv,
  parameters: [1, 2],
  weight: (s, site) => {
    const role = convWeight(s, site);
    if (role instanceof Miss || (s.activation.name === "" && site.inputs[3] === undefined)) return role;
    return { ...role, fused: s.activation.name === "" ? "a sum" : s.activation.name };
  },
  axes: (s, site) => {
    const rule = convAxes(s, site);
    if (rule instanceof Miss) return rule;
    const addend = [0, 1].map((axis): AxisLink => ({ from: ["in3", axis], to: ["out0", axis] }));
    return { ...rule, links: [...rule.links, ...addend] };
  },
  lower: (s, emit, [x, w, bias, addend]) => {
    const y = emit.Conv([x, w, bias], convAttributes(s));
    return [writeActivation(emit, addend === undefined ? y : emit.Add([y, addend]), s.activation)];
  },
  cost: convCost,
  quantize: new Miss(`an activation is fused into it: ${lowerFirst}`),
});

const defineNhwcConv = (name: string): Op =>
  defineInertOp<ConvSettings>({
    name,
    read: readConv,
    infer: (s, site) =>
      inferShape(site, () => {
        const dims = withDims(withChannelsFirstData(site), [0, 1], (x, w) => convDims(s, x, w));
        return dims instanceof Miss ? dims : toChannelsLast(dims);
      }),
    reason: gpuOnly,
    parameters: [1, 2],
    cost: (s, site) => convCost(s, withChannelsFirstData(site)),
  });

export const NhwcMaxPool = defineMicrosoftOp<Window>({
  name: "NhwcMaxPool",
  read: readPool,
  infer: (s, site) => inferShape(site, (dims) => toChannelsLast(poolDims(s, toChannelsFirst(dims)))),
  axes: ({ kernel }) => channelAxes(kernel.length + 1),
  lower: (s, emit, [data]) => [
    transposeAround(emit, s.kernel.length + 2, [data], (first) => emit.MaxPool(first, poolAttributes(s))),
  ],
  gradient: new Miss("selects among integers"),
  quantize: quantizedAlready,
});

const blockedLayout = new Miss(
  "its channels are stored in blocks for one kind of processor: optimize the model again in ONNX Runtime, at a graph optimization level below 'all'",
);

/** Defines an operator on blocked channels, with types and cost only. */
function defineBlocked<S = null>(
  name: string,
  dims: (s: S, x: readonly Dim[], site: Site) => readonly Dim[] | Miss,
  options: Partial<Pick<OpDef<S>, "read" | "cost" | "parameters" | "inChannelBlocks">> = {},
): Op {
  return defineInert<S>(blockedLayout, {
    name,
    domain: "com.microsoft.nchwc",
    infer: (s, site) => inferShape(site, (x) => dims(s, x, site)),
    weight: blockedLayout,
    lower: blockedLayout,
    ...options,
  });
}

/** Converts data with channels first or last to blocks. A number of channels that is not a multiple of 16 may be rounded up, so it becomes a symbol. */
const reorderInput = defineBlocked<{ readonly hasChannelsLast: boolean }>(
  "ReorderInput",
  ({ hasChannelsLast }, x, site) => {
    const [batch = 1, channels, ...spatial] = hasChannelsLast ? toChannelsFirst(x) : x;
    const isComplete = typeof channels === "number" && channels % 16 === 0;
    return [batch, isComplete ? channels : site.open(0, 1), ...spatial];
  },
  {
    read: (site) => ({ hasChannelsLast: readFlag(site, "channels_last") }),
    inChannelBlocks: ({ hasChannelsLast }, _, [x], block) => {
      const reordered = hasChannelsLast ? undefined : blockedFormOf(x, block);
      return reordered && [reordered];
    },
  },
);

const reorderOutput = defineBlocked<{ readonly hasChannelsLast: boolean; readonly channels: number }>(
  "ReorderOutput",
  ({ hasChannelsLast, channels }, [batch = 1, , ...spatial]) =>
    hasChannelsLast ? [batch, ...spatial, channels] : [batch, channels, ...spatial],
  {
    read: (site) => ({ hasChannelsLast: readFlag(site, "channels_last"), channels: readInteger(site, "channels", 0) }),
  },
);

const upsample = defineBlocked<readonly number[]>(
  "Upsample",
  (scales, x) => x.map((dim, axis) => multiplyDims(dim, scales[axis] ?? 1)),
  { read: (site) => readIntegers(site, "scales") ?? new Miss("has no scales") },
);

export const microsoftConvOperators: readonly Op[] = [
  defineNhwcConv("NhwcConv"),
  defineNhwcConv("NhwcFusedConv"),
  reorderInput,
  reorderOutput,
  upsample,
  defineBlocked<ConvSettings>("Conv", (s, x, site) => withDims(site, [1], (w) => convDims(s, x, w)), {
    read: readConv,
    cost: convCost,
    parameters: [1, 2],
  }),
  defineBlocked<Window>("MaxPool", poolDims, { read: readPool }),
  defineBlocked<Window>("AveragePool", poolDims, { read: readPool }),
  defineBlocked("GlobalMaxPool", (_, x) => globalPoolDims(x)),
  defineBlocked("GlobalAveragePool", (_, x) => globalPoolDims(x)),
];
