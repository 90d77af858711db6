/** Layers that are joined answer as before. Adapters: a network with new ones answers as before, and one whose adapters have learnt answers the same when they are merged. */
import { lora } from "../../../src/factorize/index.ts";
import { joinLayers } from "../../../src/factorize/joint.ts";
import type { Model } from "../../../src/graph/model.ts";
import { storeWeights } from "../../../src/passes/store-constants.ts";
import { fromNumbers, toFloat64 } from "../../../src/tensor/convert.ts";
import { inMemory } from "../../../src/tensor/dense.ts";
import { random } from "../../../src/tensor/random.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSame, expectSentences } from "../runs.ts";
import type { Promised } from "./promised.ts";

export const adapting: readonly Promised[] = [
  {
    name: "join layers that read one value",
    async keep(network: Network): Promise<void> {
      const model = network.model.clone();
      storeWeights(model);
      await joinLayers(model, {}, new Set());
      const batches = batchesOf(network);
      await expectSame(network, model, batches, await answers(network.model, batches));
    },
  },
  {
    name: "lora",
    async keep(network: Network): Promise<void> {
      const model = network.model.clone();
      const { changes, ...outcome } = await lora(model, { rank: 1 }, { engine });
      expectSentences({ changes, ...outcome });
      const batches = batchesOf(network);
      await expectSame(network, model, batches, await answers(network.model, batches));
      if (changes.length === 0) return;
      await learn(model);
      const learnt = await answers(model, batches);
      const merged = model.clone();
      await lora(merged, { merge: true }, { engine });
      await expectSame({ model }, merged, batches, learnt);
    },
  },
];

/** Small numbers in place of the zeros that adapters begin with. */
async function learn({ graph }: Model): Promise<void> {
  for (const value of graph.values()) {
    if (value.tensor === undefined || !value.name.endsWith(".lora.up.weight")) continue;
    const dense = await value.tensor.read();
    const draws = random(1, value.name);
    const numbers = toFloat64(dense).map(() => draws.normal(0, 0.1));
    value.tensor = inMemory(fromNumbers(dense.type as "float32", dense.dims, numbers));
  }
}
