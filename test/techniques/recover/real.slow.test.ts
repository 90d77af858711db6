/** A real network with removed channels, or with weights rounded to few bits, recovers much of its accuracy without labels. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { preprocess, presets, take } from "../../../src/data/index.ts";
import { openParts } from "../../../src/data/sources/parts.ts";
import { accuracy, evaluate } from "../../../src/judge/index.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { recover } from "../../../src/techniques/recover/index.ts";
import { shared } from "../../shared.ts";
import { engine } from "./networks.ts";

const path = shared("data/models/resnet20.onnx");
const images = shared("data/cifar10");

/** Rounds every kernel to the given number of bits, with one scale. */
async function round(model: Model, bits: number): Promise<void> {
  storeWeights(model);
  for (const stored of model.graph.values()) {
    if (stored.tensor?.dims.length !== 4) continue;
    const dense = await stored.tensor.read();
    if (dense.type !== "float32") continue;
    const step = dense.data.reduce((most, one) => Math.max(most, Math.abs(one)), 0) / (2 ** (bits - 1) - 1);
    stored.tensor = inMemory(
      float32(
        dense.dims,
        dense.data.map((one) => Math.round(one / step) * step),
      ),
    );
  }
}

describe.skipIf(path === undefined || images === undefined)("ResNet-20", () => {
  const opened = async () => {
    const original = await open(path ?? "");
    const parts = await openParts(images ?? "");
    const [input] = original.graph.feeds;
    if (input === undefined || parts.train === undefined) throw new Error("no input, or nothing to fit on");
    const test = preprocess(take(parts.test, 500), input, presets.imagenet);
    const figure = async (model: Model): Promise<number> =>
      (await evaluate(engine, model, test, accuracy())).estimate.value;
    // Other samples than the tested ones. Their labels are not used.
    const train = preprocess(take(parts.train, 2000), input, presets.imagenet);
    return { original, train, figure };
  };

  // Least squares would move rounded weights off their grid.
  test.each([
    [
      "30 % of its channels removed",
      (model: Model) => prune(model, { amount: 0.3, structured: true }),
      "least-squares",
      0.4,
    ],
    ["its weights rounded to 3 bits", (model: Model) => round(model, 3), "bias", 0.2],
  ] as const)("recovers accuracy with %s", async (_, spoil, until, gain) => {
    const { original, train, figure } = await opened();
    const model = original.clone();
    await spoil(model);
    const before = await figure(model);
    await recover(model, { original, data: train, until });
    expect((await figure(model)) - before).toBeGreaterThan(gain);
  });
});
