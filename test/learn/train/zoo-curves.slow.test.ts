/** Trains real exports with plain gradient descent on one batch: the losses must equal PyTorch's. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { open } from "../../../src/core/onnx/index.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { crossEntropy, type Loss, meanSquaredError, sgd } from "../../../src/learn/train/index.ts";
import { sumOfLosses } from "../../../src/learn/train/losses/weighted-sum.ts";
import { createStep, type Step } from "../../../src/learn/train/step.ts";
import { shared } from "../../shared.ts";
import { readNpz } from "../../zoo/npz.ts";

interface Entry {
  readonly loss: readonly { readonly output: string; readonly kind: string }[];
  readonly lr: number;
  readonly losses: readonly number[];
  readonly mode: string;
  readonly trainable: readonly string[];
  readonly note?: string;
}

const folder = shared("data/zoo");
const index =
  folder === undefined ? {} : (JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as Record<string, Entry>);

/** Networks that cannot be trained, with the expected error. */
const refused: Readonly<Record<string, string>> = {
  embedding_bag: 'Loop "/bag/Loop" has no gradient with respect to "bag.weight"',
};

const networks = Object.entries(index).filter(([name]) => !Object.hasOwn(refused, name));

/** Returns the sum of the losses. Cross-entropy also accepts log-probabilities, because log-softmax does not change them. */
function lossOf({ loss }: Entry): Loss {
  return sumOfLosses(
    loss.map(({ output, kind }) => {
      const about = { output, label: `target.${output}` };
      return { loss: kind === "mse" ? meanSquaredError(about) : crossEntropy(about) };
    }),
  );
}

/**
 * Returns the tensors that the reference trained. If batch norm was folded into a convolution without bias, PyTorch's `fuse` adds a bias that is not
 * trained (it inherits `requires_grad` from zeros), although the index lists it.
 */
function trained(name: string, entry: Entry): readonly string[] {
  if (entry.note?.includes("folded batch norm") !== true) return entry.trainable;
  const biases = name === "plain_cnn_bn_folded" ? ["onnx::Conv_28", "onnx::Conv_31"] : [];
  return entry.trainable.filter((tensor) => !tensor.endsWith(".weight_bias") && !biases.includes(tensor));
}

async function curve(name: string, entry: Entry): Promise<readonly number[]> {
  const model = await open(`${folder}/${name}.onnx`);
  const arrays = readNpz(`${folder}/${name}.npz`);
  const batch: Batch = Object.fromEntries(Object.entries(arrays).filter(([column]) => !column.startsWith("output.")));
  const step: Step = await createStep(
    model,
    batch,
    { loss: lossOf(entry), parameters: trained(name, entry) },
    completeContext(),
  );
  const optimizer = sgd();
  const losses: number[] = [];
  for (const _ of entry.losses) {
    losses.push(await step.run(batch));
    optimizer.update(step.parameters, entry.lr);
  }
  await step.release();
  return losses;
}

describe.skipIf(folder === undefined)("exported networks have the training losses of PyTorch", () => {
  it.each(networks.map(([name, entry]) => [name, entry] as const))("%s", async (name, entry) => {
    const losses = await curve(name, entry);
    losses.forEach((loss, step) => {
      const expected = entry.losses[step] ?? Number.NaN;
      expect(Math.abs(loss - expected), `step ${step}: ${loss} for ${expected}`).toBeLessThan(1e-3 * expected + 1e-5);
    });
  });

  it.each(Object.entries(refused))("rejects %s with the names of its nodes", async (name, reason) => {
    const entry = index[name];
    if (entry === undefined) throw new Error(`there is no network ${name}`);
    await expect(curve(name, entry)).rejects.toThrow(reason);
  });
});
