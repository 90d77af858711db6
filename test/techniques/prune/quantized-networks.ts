/** Quantized networks that lose channels, and networks with silenced channels, which compute the same. */
import { expect } from "vitest";
import { channelGroups, freeUnits, type Group, outputSliceOf } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { originalChannelsOf } from "../../../src/core/analysis/provenance.ts";
import { type Removal, removeChannels } from "../../../src/core/analysis/remove-channels.ts";
import { Miss } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { randomInputs } from "../../../src/runtime/run/random-inputs.ts";
import { guesses, lengthsOf } from "../../../src/runtime/run/size-guesses.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { type Topology, topologies } from "../../zoo/topologies.ts";
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
export const networks = topologies.filter(({ name }) => name !== "recurrent");

/** Lists the units that pruning removed, according to the kept channels that the pruned model records. */
function removed(original: Model, pruned: Model): Removal[] {
  return groupsOf(original).map((group) => {
    const units = group.layers.flatMap((layer) => {
      const kept = originalChannelsOf(pruned, layer.name);
      const keptChannels = new Set(kept);
      const unitOf = outputSliceOf(group, layer)?.unitOf ?? new Int32Array();
      return kept === undefined ? [] : [...unitOf].filter((_, channel) => !keptChannels.has(channel));
    });
    return { group, units: new Set(units) };
  });
}

/** Cuts a share of the channels of a quantized topology, twice, and compares the outputs with those of silenced channels. */
export async function expectCutTopology(topology: Topology, name: string): Promise<void> {
  const scheme = schemes[name];
  if (scheme === undefined) throw new Error(`No scheme is called "${name}".`);
  // Masks keep ONNX Runtime from fusing the silenced layers, and a fused kernel can round an output one step away.
  const optimize = name !== "static";
  const feeds = feedsOf(topology, 1);
  const model = await buildModel(topology, scheme(feeds));
  if (!name.startsWith("blocks")) {
    const counts = (groups: readonly Group[]) => groups.map((group) => freeUnits(group).length).sort();
    expect(counts(groupsOf(model))).toEqual(counts(groupsOf(await buildModel(topology))));
  }
  for (const [seed, share] of [
    [1, 0.3],
    [2, 0.6],
  ] as const) {
    const removals = choose(model, seed, share);
    const expected = await run(silencedWhereRead(model, removals), feeds, optimize);
    const small = model.clone();
    const failed = await removeChannels(small, choose(small, seed, share));
    expect(failed instanceof Miss ? `${failed.at}: ${failed.reason}` : "cut").toBe("cut");
    expect(verify(small)).toEqual([]);
    expect(difference(await run(small, feeds, optimize), expected)).toBeLessThanOrEqual(1e-5);
  }
}

/** Prunes half of the channels of a quantized model file, and compares the outputs with those of silenced channels. */
export async function expectPrunedFile(path: string, scheme: string, count: number): Promise<void> {
  const model = await open(path);
  await quantize(model, schemes[scheme]?.({}) ?? { scheme: "dynamic" });
  const pruned = model.clone();
  const { changes } = await prune(pruned, { structured: 0.5 });
  expect(changes).toHaveLength(count);
  expect(verify(pruned)).toEqual([]);
  const inputs = randomInputs(model);
  const [guess] = guesses(model, inputs, { lengths: lengthsOf([16]), batchSizes: [2] });
  const feeds = inputs.draw(guess?.shapes ?? new Map(), random(1, "inputs"));
  const silent = await run(silencedWhereRead(model, removed(model, pruned)), feeds);
  // With VNNI, the runtime rounds activations to 8 bits in blocks of inputs, and pruning moves inputs to other blocks.
  const most = scheme.startsWith("blocks") ? 3e-3 : 1e-4;
  expect(difference(await run(pruned, feeds), silent)).toBeLessThan(most);
  // Equal outputs would mean that no channel was silenced.
  expect(difference(silent, await run(model, feeds))).toBeGreaterThan(0.1);
}
