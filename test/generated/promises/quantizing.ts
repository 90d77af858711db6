/** Weights in fewer bits. */

import { infer } from "../../../src/analysis/infer.ts";
import { layers } from "../../../src/analysis/layers.ts";
import { memory } from "../../../src/data/index.ts";
import { Miss } from "../../../src/errors.ts";
import { fakeQuantize, quantize } from "../../../src/quantize/index.ts";
import type { Network } from "../network.ts";
import {
  answers,
  batchesOf,
  engine,
  expectSame,
  expectSentences,
  expectThat,
  originalAnswers,
  refused,
} from "../runs.ts";
import { expectSameShapes, type Promised, weights, withWeights } from "./promised.ts";

export const quantizing: readonly Promised[] = [
  ...[{}, { perChannel: false }, { weights: "uint8" as const }].map((options) => ({
    name: `quantize weights ${JSON.stringify(options)}`,
    async keep(network: Network): Promise<void> {
      const before = await weights(network.model);
      const result = network.model.clone();
      const outcome = await quantize(result, { scheme: "weights", ...options }, { engine });
      expectSentences(outcome);
      const after = await weights(result);
      for (const [name, { numbers }] of before) {
        const got = after.get(name)?.numbers;
        expectThat(got?.length === numbers.length, `layer "${name}" is gone`);
        // No grid of 8 bits over all numbers, zero included, has steps wider than this; of one with a zero point the ends may lie half a step off.
        const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
        const step = (options.weights === "uint8" ? high - low : 2 * Math.max(high, -low)) / 254;
        const worst = numbers.reduce(
          (most, value, at) => Math.max(most, Math.abs(value - (got?.[at] ?? Number.NaN))),
          0,
        );
        expectThat(
          worst <= step * (options.weights === "uint8" ? 1.01 : 0.51) + 1e-30,
          `layer "${name}" is off by ${worst}, with steps of ${step}`,
        );
      }
      const same = await withWeights(network.model, result);
      if (same === undefined) return;
      const batches = batchesOf(network);
      // Fused, ONNX Runtime multiplies 8-bit weights by activations that it rounds to 8 bits.
      await expectSame({ ...network, model: same }, result, batches, await answers(same, batches, false), false);
    },
  })),
  ...(["dynamic", "static", "float16"] as const).map((scheme) => ({
    name: `quantize ${scheme}`,
    async keep(network: Network): Promise<void> {
      const batches = batchesOf(network);
      const expected = await originalAnswers(network);
      const result = network.model.clone();
      const names = new Set(layers(result, infer(result)).map(({ name }) => name));
      const feeds = network.feeds(2, 9);
      const rows = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
      if (scheme === "static" && (rows.size > 1 || rows.has(undefined))) return;
      const options = scheme === "static" ? { scheme, data: memory("feeds", feeds) } : { scheme };
      const outcome = await quantize(result, options, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      expectSameShapes(expected, await answers(result, batches));
      const left = new Set(layers(result, infer(result)).map(({ name }) => name));
      for (const name of names) expectThat(left.has(name), `layer "${name}" is gone`);
    },
  })),
];

export const rounding: readonly Promised[] = ([{}, { learnScales: true }, { perChannel: false }] as const).map(
  (options) => ({
    name: `round in float ${JSON.stringify(options)}, then in integers`,
    async keep(network: Network): Promise<void> {
      const batches = batchesOf(network);
      const rounded = network.model.clone();
      const outcome = await fakeQuantize(rounded, options, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      const result = rounded.clone();
      const { perChannel = true } = "perChannel" in options ? options : {};
      expectSentences(await quantize(result, { scheme: "weights", perChannel }, { engine }));
      await expectSame({ ...network, model: rounded }, result, batches, await answers(rounded, batches, false), false);
    },
  }),
);
