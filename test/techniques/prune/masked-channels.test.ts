/** Fully masked channels are removed when pruning is finalized, without changing outputs. */
import type { Model } from "pith";
import { float32, simplify, toNumbers } from "pith";
import { conv2d, flatten, linear, network, relu } from "pith/nn";
import { customFromMask } from "pith/prune";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { shared } from "../../shared.ts";

async function answers(model: Model, input: string, dims: readonly number[]): Promise<readonly number[]> {
  const numbers = random(3, "input");
  const session = await createEngine().load(model);
  const x = Float32Array.from({ length: elementCount(dims) }, () => numbers.normal());
  const [output = expect.fail("no answer")] = Object.values(await session.run({ [input]: float32(dims, x) }));
  await session.release();
  return toNumbers(output);
}

/** Returns the number of channels that `finalize` removes, and expects equal outputs. */
async function channelsCut(model: Model, input: string, dims: readonly number[]): Promise<number> {
  await simplify(model);
  const masked = await answers(model, input, dims);
  const { changes } = await simplify(model, { finalize: true });
  const finalizedOutput = await answers(model, input, dims);
  const size = Math.max(...masked.map(Math.abs));
  expect(finalizedOutput).toHaveLength(masked.length);
  for (const [at, value] of finalizedOutput.entries())
    expect(Math.abs(value - (masked[at] ?? Number.NaN))).toBeLessThan(1e-5 * size);
  return changes.reduce((sum, { what }) => sum + Number(/^(\d+) constant channels? cut$/.exec(what)?.[1] ?? 0), 0);
}

/** Masks the first channels of each layer whose output axis is 0. */
async function maskChannels(model: Model, share: number, names?: readonly string[]): Promise<void> {
  for (const { name, weight } of layers(model, infer(model))) {
    if (names !== undefined && !names.includes(name)) continue;
    const dims = weight.tensor?.dims ?? [];
    const masked = Math.round(share * (dims[0] ?? 0)) * elementCount(dims.slice(1));
    const mask = float32(
      dims,
      Float32Array.from({ length: elementCount(dims) }, (_, at) => (at < masked ? 0 : 1)),
    );
    await customFromMask(model, { layers: name, mask });
  }
}

describe("fully masked channels are removed", () => {
  test("in a convolution and a linear layer, with constants moved to later biases", async () => {
    const layers = { conv: conv2d(2, 6, 3), relu: relu(), flat: flatten(), fc1: linear(54, 10), act: relu() };
    const model = network({ ...layers, fc2: linear(10, 4) }, { input: ["batch", 2, 5, 5], seed: 1 });
    await maskChannels(model, 0.5, ["conv", "fc1"]);
    expect(await channelsCut(model, "input", [3, 2, 5, 5])).toBe(8);
    expect(model.graph.value("conv.weight")?.tensor?.dims).toEqual([3, 2, 3, 3]);
    expect(model.graph.value("fc1.weight")?.tensor?.dims).toEqual([5, 27]);
  });

  const path = shared("data/models/resnet8_cifar10.onnx");
  test.skipIf(path === undefined)("in every convolution of a trained network", async () => {
    const model = await open(path ?? "");
    await simplify(model);
    await maskChannels(model, 0.3);
    const [input = expect.fail("no input")] = model.graph.feeds;
    const dims = (input.type?.dims ?? []).map((dim) => (typeof dim === "number" ? dim : 2));
    expect(await channelsCut(model, input.name, dims)).toBeGreaterThan(0);
  });
});
