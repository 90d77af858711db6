/** A quantized network loses the channels of the float one, and computes the same as with silenced channels. */
import { describe, expect, test } from "vitest";
import { channelGroups, type Group, outputsOf, removable } from "../../src/core/analysis/channels.ts";
import { cut, type Removal } from "../../src/core/analysis/cut.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { recordedChannels } from "../../src/core/analysis/provenance.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { open } from "../../src/core/onnx/index.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { memory } from "../../src/data/index.ts";
import { guesses, lengthsOf, randomInputs } from "../../src/runtime/run/random-inputs.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { shared } from "../shared.ts";
import { type Topology, topologies } from "../zoo/topologies.ts";
import { choose, difference, feedsOf, run, silencedWhereRead } from "./silenced.ts";

type Scheme = (feeds: Batch) => Parameters<typeof quantize>[1];

// Some processors multiply signed 8-bit weights in 16-bit sums, which saturate.
const schemes: Readonly<Record<string, Scheme>> = {
  dynamic: () => ({ scheme: "dynamic", weights: "uint8" }),
  "dynamic, per channel": () => ({ scheme: "dynamic", weights: "uint8", perChannel: true }),
  static: (feeds) => ({ scheme: "static", weights: "uint8", data: memory("random", feeds) }),
  "blocks of 4 bits": () => ({ scheme: "weights", bits: 4, block: 16 }),
  "blocks of 4 bits with zero points": () => ({ scheme: "weights", bits: 4, block: 16, zeroPoints: true }),
};

const buildModel = async ({ text }: Topology, options?: Parameters<typeof quantize>[1]): Promise<Model> => {
  const model = parseModel(text);
  if (options !== undefined) await quantize(model, options);
  return model;
};

const groupsOf = (model: Model): readonly Group[] => channelGroups(model, infer(model));

/** Excludes the LSTM, which reads its own channels. */
const networks = topologies.filter(({ name }) => name !== "recurrent");

describe.each(Object.entries(schemes))(
  "%s: a pruned network equals the network with silenced channels",
  (name, scheme) => {
    // Masks keep ONNX Runtime from fusing the silenced layers, and a fused kernel can round an output one step away.
    const optimize = name !== "static";
    test.each(networks.map((topology) => [topology.name, topology] as const))("topology %s", async (_, topology) => {
      const feeds = feedsOf(topology, 1);
      const model = await buildModel(topology, scheme(feeds));
      if (!name.startsWith("blocks")) {
        const counts = (groups: readonly Group[]) => groups.map((group) => removable(group).length).sort();
        expect(counts(groupsOf(model))).toEqual(counts(groupsOf(await buildModel(topology))));
      }
      for (const [seed, share] of [
        [1, 0.3],
        [2, 0.6],
      ] as const) {
        const removals = choose(model, seed, share);
        const expected = await run(silencedWhereRead(model, removals), feeds, optimize);
        const small = model.clone();
        const failed = await cut(small, choose(small, seed, share));
        expect(failed instanceof Miss ? `${failed.at}: ${failed.reason}` : "cut").toBe("cut");
        expect(verify(small)).toEqual([]);
        expect(difference(await run(small, feeds, optimize), expected)).toBeLessThanOrEqual(1e-5);
      }
    });
  },
);

/** A file in the QOperator format, as ONNX Runtime's quantizer writes it. */
const onCodes: Topology = {
  name: "operators on quantized values",
  inputs: { x: [2, 3, 8, 8] },
  text: `opset 17, com.microsoft 1
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 5]) {
  c1.weight: uint8[8, 3, 3, 3] = random(seed 1, from 0 to 255)
  c1.bias: int32[8] = random(seed 2, from -30000 to 30000)
  c2.weight: uint8[8, 8, 3, 3] = random(seed 3, from 0 to 255)
  fc.weight: uint8[5, 8] = random(seed 4, from 0 to 255)
  fc.bias: int32[5] = random(seed 5, from -30000 to 30000)
  w.scale: float32[] = 0.002
  x.scale: float32[] = 0.0078
  r.scale: float32[] = 0.011
  b.scale: float32[] = 0.017
  s.scale: float32[] = 0.021
  g.scale: float32[] = 0.0064
  y.scale: float32[] = 0.013
  low: uint8[] = 0
  middle: uint8[] = 128
  q = QuantizeLinear(x, x.scale, middle)
  r = QLinearConv "c1" (q, x.scale, middle, c1.weight, w.scale, middle, r.scale, low, c1.bias) {pads=[1, 1, 1, 1]}
  b = QLinearConv "c2" (r, r.scale, low, c2.weight, w.scale, middle, b.scale, middle) {pads=[1, 1, 1, 1]}
  s = com.microsoft.QLinearAdd(r, r.scale, low, b, b.scale, middle, s.scale, middle)
  g = com.microsoft.QLinearGlobalAveragePool(s, s.scale, middle, g.scale, middle)
  f = Flatten(g)
  h = com.microsoft.QGemm "fc" (f, g.scale, middle, fc.weight, w.scale, middle, fc.bias, y.scale, middle) {transB=1}
  y = DequantizeLinear(h, y.scale, middle)
}`,
};

test.each([
  [1, 0.3],
  [2, 0.6],
] as const)("prunes a network in the QOperator format exactly, seed %d", async (seed, share) => {
  const [model, feeds] = [parseModel(onCodes.text), feedsOf(onCodes, 1)];
  const removals = choose(model, seed, share);
  expect(removals).not.toEqual([]);
  const silent = await run(silencedWhereRead(model, removals), feeds);
  expect(difference(silent, await run(model, feeds))).toBeGreaterThan(1e-3);
  const small = model.clone();
  expect(await cut(small, choose(small, seed, share))).not.toBeInstanceOf(Miss);
  expect(verify(small)).toEqual([]);
  expect(difference(await run(small, feeds), silent)).toBeLessThanOrEqual(1e-5);
});

/** Lists the units that pruning removed, according to the kept channels that the pruned model records. */
function removed(original: Model, pruned: Model): Removal[] {
  return groupsOf(original).map((group) => {
    const units = group.layers.flatMap((layer) => {
      const kept = recordedChannels(pruned, layer.name);
      const keptChannels = new Set(kept);
      const unitOf = outputsOf(group, layer)?.unitOf ?? new Int32Array();
      return kept === undefined ? [] : [...unitOf].filter((_, channel) => !keptChannels.has(channel));
    });
    return { group, units: new Set(units) };
  });
}

describe.each([
  ["kws_dscnn", "dynamic", 9],
  ["ad01_autoencoder", "dynamic", 9],
  ["ad01_autoencoder", "blocks of 4 bits", 8],
  ["bert_sst2/onnx/model", "blocks of 4 bits with zero points", 17],
] as const)("%s, %s: half of the channels", (name, scheme, count) => {
  const path = shared(`data/models/${name}.onnx`);
  test.skipIf(path === undefined)("are removed, with the outputs of silenced channels", async () => {
    const model = await open(path ?? "");
    await quantize(model, schemes[scheme]?.({}) ?? { scheme: "dynamic" });
    const pruned = model.clone();
    const { changes } = await prune(pruned, { structured: 0.5 });
    expect(changes).toHaveLength(count);
    expect(verify(pruned)).toEqual([]);
    const inputs = randomInputs(model);
    const [guess] = guesses(model, inputs, { lengths: lengthsOf([16]), batches: [2] });
    const feeds = inputs.draw(guess?.shapes ?? new Map(), random(1, "inputs"));
    const silent = await run(silencedWhereRead(model, removed(model, pruned)), feeds);
    // With VNNI, the runtime rounds activations to 8 bits in blocks of inputs, and pruning moves inputs to other blocks.
    const most = scheme.startsWith("blocks") ? 3e-3 : 1e-4;
    expect(difference(await run(pruned, feeds), silent)).toBeLessThan(most);
    // Equal outputs would mean that no channel was silenced.
    expect(difference(silent, await run(model, feeds))).toBeGreaterThan(0.1);
  });
});
