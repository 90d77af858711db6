/**
 * Operators of which Pith knows types, shapes and cost only: mixtures of experts, and com.microsoft.nchwc. The latter have channels in blocks of 8 or
 * 16 (SIMD width).
 */
import { type Dim, Miss } from "#graph";
import type { Inferred, Op, OpDef, Site } from "../define.ts";
import { readFlag, readInteger } from "../shared/attributes.ts";
import { blockedFormOf } from "../shared/channel-blocks.ts";
import { convCost, inferConv, readConv, toChannelsFirst } from "../shared/convolution.ts";
import { defineInert } from "../shared/inert.ts";
import { inferShape, sameAsInput } from "../shared/shapes.ts";
import { globalPoolDims } from "../shared/window.ts";

interface ShapesOnlyDefinition extends Partial<Pick<OpDef<null>, "parameters" | "inChannelBlocks">> {
  readonly name: string;
  readonly reason: string;
  infer(site: Site): readonly Inferred[] | Miss;
  cost?(site: Site): Dim | Miss;
}

const withSettings = <S, T>(read: (site: Site) => S | Miss, compute: (s: S, site: Site) => T) => {
  return (site: Site): T | Miss => {
    const s = read(site);
    return s instanceof Miss ? s : compute(s, site);
  };
};

const experts = {
  infer: (site: Site) => sameAsInput(site),
  cost: () => new Miss("which experts compute depends on the data"),
};

const microsoftRows: readonly ShapesOnlyDefinition[] = [
  { name: "MoE", ...experts, reason: "routes each token to a few experts", parameters: [2, 3, 4, 5, 6, 7] },
  {
    name: "QMoE",
    ...experts,
    reason: "routes each token to a few experts, whose weights are quantized",
    parameters: [4, 7],
  },
];

const blockedLayout =
  "its channels are stored in blocks for one kind of processor: optimize the model again in ONNX Runtime, at a graph optimization level below 'all'";

const blockedRows: readonly Omit<ShapesOnlyDefinition, "reason">[] = [
  {
    // Channels are rounded up to complete blocks, whose size depends on the processor.
    name: "ReorderInput",
    infer: (site) =>
      inferShape(site, (x) => {
        const [batch = 1, channels, ...spatial] = readFlag(site, "channels_last") ? toChannelsFirst(x) : x;
        const isComplete = typeof channels === "number" && channels % 16 === 0;
        return [batch, isComplete ? channels : site.open(0, 1), ...spatial];
      }),
    inChannelBlocks(_, __, [x], block) {
      const blockedForm = blockedFormOf(x, block);
      return blockedForm && [blockedForm];
    },
  },
  {
    name: "ReorderOutput",
    infer: (site) =>
      inferShape(site, ([batch = 1, , ...spatial]) => {
        const channels = readInteger(site, "channels", 0);
        return readFlag(site, "channels_last") ? [batch, ...spatial, channels] : [batch, channels, ...spatial];
      }),
  },
  {
    name: "Conv",
    infer: withSettings(readConv, (s, site) => inferConv(s, site)),
    cost: withSettings(readConv, convCost),
    parameters: [1, 2],
  },
  { name: "GlobalAveragePool", infer: (site) => inferShape(site, globalPoolDims) },
];

function defineShapesOnly(domain: string, { reason, infer, cost, ...row }: ShapesOnlyDefinition): Op {
  const miss = new Miss(reason);
  return defineInert(miss, {
    weight: miss,
    lower: miss,
    ...row,
    domain,
    infer: (_, site) => infer(site),
    ...(cost === undefined ? {} : { cost: (_: null, site: Site) => cost(site) }),
  });
}

export const shapesOnlyOperators: readonly Op[] = [
  ...microsoftRows.map((row) => defineShapesOnly("com.microsoft", row)),
  ...blockedRows.map((row) => defineShapesOnly("com.microsoft.nchwc", { ...row, reason: blockedLayout })),
];
