/** Networks with random weights, data to run them on, and what a stage of a recovery is given. */
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { openStorage } from "../../../src/data/batches/batch-store.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import { memory } from "../../../src/data/index.ts";
import { evaluate } from "../../../src/judge/index.ts";
import { signalToNoise } from "../../../src/runtime/metrics/comparison-metrics.ts";
import { matchOriginal } from "../../../src/techniques/calibrate/match-original.ts";
import type { Scope } from "../../../src/techniques/recover/stage.ts";
import { value } from "../../find.ts";
import { noise } from "../../noise.ts";

export const engine = createEngine();

export function samples(dims: readonly number[], seed = 1): IndexedDataset {
  return memory("samples", { x: noise(dims, seed) });
}

/** A graph whose stored tensors are drawn: `weights` says their dimensions; variances are above 0. */
export function network(
  feed: string,
  result: string,
  weights: Readonly<Record<string, readonly number[]>>,
  nodes: string,
  seed = 1,
): Model {
  const stored = Object.entries(weights).map(
    ([name, dims]) => `  ${name}: float32[${dims}] = [${new Array(elementCount(dims)).fill(0).join(", ")}]`,
  );
  const model = parseModel(`opset 17\ngraph (${feed}) -> (${result}) {\n${stored.join("\n")}\n${nodes}\n}`);
  Object.entries(weights).forEach(([name, dims], index) => {
    const drawn = noise(dims, 100 * seed + index, 0.5);
    const positive = /variance|scale/.test(name) ? drawn.data.map((one) => 0.5 + Math.abs(one)) : drawn.data;
    value(model, name).tensor = inMemory(float32(dims, positive));
  });
  return model;
}

/** Other numbers in the place of a stored tensor's. */
export async function change(model: Model, name: string, to: (value: number, index: number) => number): Promise<void> {
  const stored = value(model, name);
  const dense = await stored.tensor?.read();
  if (dense?.type !== "float32") throw new Error(`${name} is no float32`);
  stored.tensor = inMemory(float32(dense.dims, dense.data.map(to)));
}

export async function numbers(model: Model, name: string): Promise<Float32Array> {
  const dense = await value(model, name).tensor?.read();
  if (dense?.type !== "float32") throw new Error(`${name} is no float32`);
  return dense.data;
}

export async function scopeOf(
  changed: Model,
  original: Model,
  data: IndexedDataset,
  storage = openStorage(),
): Promise<Scope> {
  const match = await matchOriginal(changed, original, engine);
  return { match, original, data, context: completeContext({ engine }), storage, overdue: () => false };
}

/** The greatest difference between what two models answer, beside the greatest answer. */
export async function apart(one: Model, other: Model, data: IndexedDataset): Promise<number> {
  const { x } = await data.gather(Uint32Array.from({ length: data.count }, (_, at) => at));
  if (x === undefined) throw new Error("no x");
  const answers = await Promise.all(
    [one, other].map(async (model) => {
      const session = await engine.load(model);
      const result = await session.run({ x });
      await session.release();
      const [dense] = Object.values(result);
      if (dense?.type !== "float32") throw new Error("no float32");
      return dense.data;
    }),
  );
  const [a = new Float32Array(), b = new Float32Array()] = answers;
  const size = a.reduce((most, own) => Math.max(most, Math.abs(own)), 0);
  return a.reduce((most, own, at) => Math.max(most, Math.abs(own - (b[at] ?? 0))), 0) / size;
}

/** Writes two convolutions and a linear layer with the given numbers of channels and outputs, for images with three channels. */
export function convolutions(first: number, second: number, outputs: number): Model {
  return network(
    "x: float32[n, 3, 6, 6]",
    `y: float32[n, ${outputs}]`,
    {
      "a.weight": [first, 3, 3, 3],
      "a.bias": [first],
      "b.weight": [second, first, 3, 3],
      "b.bias": [second],
      "fc.weight": [outputs, second],
      "fc.bias": [outputs],
    },
    `  h = Conv(x, a.weight, a.bias)\n  r = Relu(h)\n  g = Conv(r, b.weight, b.bias)\n  s = Relu(g)
  p = GlobalAveragePool(s)\n  f = Flatten(p)\n  y = Gemm(f, fc.weight, fc.bias) {transB=1}`,
  );
}

export const data = samples([160, 3, 6, 6]);

const unseen = samples([64, 3, 6, 6], 2);

export const build = () => convolutions(12, 8, 5);

export const noiseOf = async (model: Model, original: Model): Promise<number> =>
  (await evaluate(engine, model, unseen, signalToNoise(), { original })).estimate.value;
