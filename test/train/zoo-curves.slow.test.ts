/** Real exports, trained step by step: plain gradient descent on one batch must give PyTorch's losses. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { open } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/pass.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { parseNpz } from "../../src/data/files/npy.ts";
import { crossEntropy, type Loss, meanSquaredError, sgd, sumOfLosses } from "../../src/learn/train/index.ts";
import { createStep, type Step } from "../../src/learn/train/step.ts";
import { shared } from "../shared.ts";

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

/** What cannot be trained as it is, and why. */
const refused: Readonly<Record<string, string>> = {
  embedding_bag: 'Loop "/bag/Loop" has no gradient with respect to "bag.weight"',
};

const networks = Object.entries(index).filter(([name]) => !Object.hasOwn(refused, name));

/** Losses are added. Of log-probabilities the logarithm of the softmax is what they are. */
function lossOf({ loss }: Entry): Loss {
  return sumOfLosses(
    loss.map(({ output, kind }) => {
      const about = { output, label: `target.${output}` };
      return { loss: kind === "mse" ? meanSquaredError(about) : crossEntropy(about) };
    }),
  );
}

/**
 * What the reference trained. Where batch norm was folded into a convolution that had no bias, PyTorch's `fuse` gave it one that is not
 * trained (`requires_grad` of the zeros that it starts from), although the index lists it.
 */
function trained(name: string, entry: Entry): readonly string[] {
  if (entry.note?.includes("folded batch norm") !== true) return entry.trainable;
  const biases = name === "plain_cnn_bn_folded" ? ["onnx::Conv_28", "onnx::Conv_31"] : [];
  return entry.trainable.filter((tensor) => !tensor.endsWith(".weight_bias") && !biases.includes(tensor));
}

async function curve(name: string, entry: Entry): Promise<readonly number[]> {
  const model = await open(`${folder}/${name}.onnx`);
  const arrays = await parseNpz(new Uint8Array(readFileSync(`${folder}/${name}.npz`)), name);
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

describe.skipIf(folder === undefined)("exported networks take PyTorch's steps", () => {
  it.each(networks.map(([name, entry]) => [name, entry] as const))("%s", async (name, entry) => {
    const losses = await curve(name, entry);
    losses.forEach((loss, step) => {
      const expected = entry.losses[step] ?? Number.NaN;
      expect(Math.abs(loss - expected), `step ${step}: ${loss} for ${expected}`).toBeLessThan(1e-3 * expected + 1e-5);
    });
  });

  it.each(Object.entries(refused))("%s is refused by name", async (name, reason) => {
    const entry = index[name];
    if (entry === undefined) throw new Error(`there is no network ${name}`);
    await expect(curve(name, entry)).rejects.toThrow(reason);
  });
});
