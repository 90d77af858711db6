/** Promises of pruning: a pruned network computes what the masked original computes, a structurally pruned one what the original with zeroed channels computes. */

import { Miss, PithError } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { removedPortKind } from "../../../src/core/pass/pass.ts";
import { toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { roundHalfEven } from "../../../src/core/tensor/round.ts";
import { memory } from "../../../src/data/index.ts";
import { simplify } from "../../../src/rewrite/clean-up/simplify.ts";
import { isPruned, keepLayers, prune, remove } from "../../../src/techniques/prune/index.ts";
import { recover } from "../../../src/techniques/recover/index.ts";
import { expectSameAsSilenced } from "../../techniques/prune/silenced.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSame, expectSentences, expectThat, refused } from "../runs.ts";
import { expectSameShapes, type Promised, samplesOf, weights } from "./promised.ts";

export const pruning: readonly Promised[] = [0.5, 0.9, 1].map((amount) => ({
  name: `prune ${amount}`,
  async keep(network: Network): Promise<void> {
    const original = await weights(network.model);
    const masked = network.model.clone();
    const outcome = await prune(masked, { amount, keepMasks: true }, { engine });
    expectSentences(outcome);
    if (!isPruned(network.model)) await expectExactly(masked, amount, outcome.changes.length);
    const result = network.model.clone();
    const pruned = await prune(result, { amount }, { engine });
    const batches = batchesOf(network);
    await expectSame({ ...network, model: masked }, result, batches, await answers(masked, batches));
    expectThat(pruned.changes.length === 0 || !isPruned(result), "masks are left");
    const kept = await weights(result);
    for (const [name, { numbers }] of original) {
      const after = kept.get(name)?.numbers;
      expectThat(after?.length === numbers.length, `layer "${name}" is gone`);
      expectThat(
        numbers.every((value, at) => after?.[at] === 0 || after?.[at] === value),
        `layer "${name}" has numbers that are neither its own nor 0`,
      );
    }
    if (outcome.changes.length === 0) return;
    await remove(masked);
    expectThat(!isPruned(masked), "masks are left by remove");
  },
}));

/** Checks that each changed parameter has exactly the requested number of zeros. */
async function expectExactly(masked: Model, amount: number, changes: number): Promise<void> {
  const masks = [...masked.graph.values()].filter(({ role }) => role?.kind === "mask");
  expectThat(masks.length === changes, `${changes} changes left ${masks.length} masks`);
  for (const { name, tensor } of masks) {
    const kept = tensor === undefined ? [] : toNumbers(await tensor.read());
    const zeroCount = kept.filter((entry) => entry === 0).length;
    // A layer keeps at least one weight, unless all are requested.
    const most = amount === 1 ? kept.length : kept.length - 1;
    const asked = Math.min(roundHalfEven(amount * kept.length), most);
    expectThat(zeroCount === asked, `"${name}" has ${zeroCount} zeros of ${kept.length}, not ${asked}`);
  }
}

export const cutting: readonly Promised[] = [
  {
    name: "channels that are cut",
    async keep(network) {
      // A zeroed channel with infinite values gives NaN.
      const outputs = (await answers(network.model, [network.feeds(2)])).flatMap((batch) => Object.values(batch));
      if (!outputs.every((dense) => dense.type === "string" || toFloat64(dense).every(Number.isFinite))) return;
      for (const [seed, share] of [
        [1, 0.3],
        [2, 0.8],
      ] as const)
        await expectSameAsSilenced(() => network.model.clone(), network.feeds(2), seed, share).catch(
          (error: unknown) => {
            // Channels of integer weights cannot be set to zero, only removed.
            if (!(error instanceof PithError && error.code === "E_UNSUPPORTED")) throw error;
          },
        );
    },
  },
  ...(
    [
      ["uniform", "magnitude"],
      ["global", "magnitude"],
      ["isomorphic", "activation"],
    ] as const
  ).map(([scope, importance]) => ({
    name: `prune channels, ${scope}`,
    async keep(network: Network): Promise<void> {
      const result = network.model.clone();
      const batch = samplesOf(network, 4, 1);
      const by = batch === undefined ? {} : { importance, data: memory("samples", batch) };
      const outcome = await prune(result, { structured: 0.5, scope, ...by }, { engine });
      expectSentences(outcome);
      const got = await answers(result, batchesOf(network));
      await expectSameShapes(network, got);
      await simplify(result, {}, { engine });
      await expectSameShapes(network, await answers(result, batchesOf(network)));
    },
  })),
  {
    name: "keep one of the layers that repeat",
    async keep(network) {
      const result = network.model.clone();
      const outcome = await keepLayers(result, { keep: 1 }, { engine }).catch(refused);
      if (outcome instanceof Miss || outcome.changes.length === 0) return;
      expectSentences(outcome);
      const { kind } = outcome.changes.find(({ kind }) => kind === removedPortKind) ?? {};
      if (kind === undefined) await expectSameShapes(network, await answers(result, batchesOf(network)));
    },
  },
];

export const recovering: readonly Promised[] = [
  {
    name: "recover what lost channels",
    async keep(network) {
      const feeds = samplesOf(network, 8, 9);
      if (feeds === undefined) return;
      const result = network.model.clone();
      await prune(result, { structured: 0.5 }, { engine });
      const data = memory("feeds", feeds);
      const outcome = await recover(result, { original: network.model, data }, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      await expectSameShapes(network, await answers(result, batchesOf(network)));
    },
  },
];
