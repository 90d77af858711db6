/** New adapters leave outputs unchanged, and trained adapters give the same outputs when they are merged. */

import type { Model } from "../../../src/core/graph/model.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { inMemory } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { lora } from "../../../src/techniques/factorize/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectNear, expectSame, expectSentences } from "../runs.ts";
import type { Promised } from "./promised.ts";

export const adapting: readonly Promised[] = [
  {
    name: "lora",
    keep: (network: Network) => expectAdapted(network.model, batchesOf(network), expectSame),
  },
  {
    name: "lora in float16",
    async keep(network: Network): Promise<void> {
      const model = network.model.clone();
      await quantize(model, { dtype: "fp16" }, { engine });
      await expectAdapted(model, batchesOf(network), expectNear);
    },
  },
];

/** New adapters change nothing, and ones that have learnt change nothing once more when they are merged. */
async function expectAdapted(original: Model, batches: readonly Batch[], compare: typeof expectSame): Promise<void> {
  const expected = await answers(original, batches);
  // Infinity times the zeros that adapters begin with is NaN.
  const outputs = expected.flatMap((batch) => Object.values(batch));
  if (!outputs.every((dense) => !isFloat(dense.type) || toFloat64(dense).every(Number.isFinite))) return;
  const model = original.clone();
  const { changes, ...outcome } = await lora(model, { rank: 1 }, { engine });
  expectSentences({ changes, ...outcome });
  await compare({ model: original }, model, batches, expected);
  if (changes.length === 0) return;
  await learn(model);
  const merged = model.clone();
  await lora(merged, { merge: true }, { engine });
  await compare({ model }, merged, batches, await answers(model, batches));
}

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
