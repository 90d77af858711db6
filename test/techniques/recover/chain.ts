/** A chain of layers, data for it, and what is wrong with a copy of it: for tests of blocks that are trained by themselves. */

import type { Model } from "../../../src/core/graph/model.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import { evaluate } from "../../../src/judge/index.ts";
import { signalToNoise } from "../../../src/runtime/metrics/comparison-metrics.ts";
import { change, engine, network, samples } from "./networks.ts";

/** Six layers in a chain: three parts. */
export const chain = (batch: "n" | "1" = "n"): Model => {
  const names = ["a", "b", "c", "d", "e", "f"];
  const weights = names.flatMap((name, at) => [
    [`${name}.weight`, [at === 5 ? 4 : 12, at === 0 ? 6 : 12]] as const,
    [`${name}.bias`, [at === 5 ? 4 : 12]] as const,
  ]);
  const nodes = names.map((name, at) => {
    const [from, to] = [at === 0 ? "x" : `r${at}`, at === 5 ? "y" : `h${at + 1}`];
    const relu = at === 5 ? "" : `\n  r${at + 1} = Relu(h${at + 1})`;
    return `  ${to} = Gemm(${from}, ${name}.weight, ${name}.bias) {transB=1}${relu}`;
  });
  return network(`x: float32[${batch}, 6]`, `y: float32[${batch}, 4]`, Object.fromEntries(weights), nodes.join("\n"));
};
export const data = samples([192, 6]);
export const unseen = samples([64, 6], 2);
export const spoiled = async (original: Model): Promise<Model> => {
  const changed = original.clone();
  await change(changed, "a.weight", (one, at) => (at % 4 === 0 ? 0 : one));
  await change(changed, "d.bias", (one) => one + 0.2);
  await change(changed, "f.weight", (one) => 0.7 * one);
  return changed;
};
export const figure = async (model: Model, original: Model, data: IndexedDataset): Promise<number> =>
  (await evaluate(engine, model, data, signalToNoise(), { original })).estimate.value;
