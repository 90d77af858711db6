/** Tests that trainings with other settings can be stopped and resumed. */

import { test } from "vitest";
import { expectContinued, type Settings, validation } from "../../../test/train/corners.ts";

const settings: readonly (readonly [string, Settings])[] = [
  ["with momentum in the graph", { optimizer: "sgd", learningRate: 0.1 }],
  ["with momentum and weight decay", { optimizer: "sgd", weightDecay: 0.01 }],
  ["with several batches a step", { optimizer: "adamw", accumulate: 2 }],
  ["with batches left over at the end of an epoch", { optimizer: "sgd", batch: 8, accumulate: 4 }],
  ["with masks that change", { optimizer: "sgd", learningRate: 0.1, prune: { amount: 0.8, every: 3 } }],
  ["with evaluations in between", { optimizer: "lion", validation, every: 4 }],
];

test.each(settings)("%s it ends with the same bits as an uninterrupted training", async (_, given) => {
  await expectContinued(given);
});
