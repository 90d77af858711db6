import { expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { crossEntropy } from "./losses/cross-entropy.ts";
import { sgd } from "./optimizers.ts";
import { createStep } from "./step.ts";
import { train } from "./train.ts";

/** Returns an untrained network in which scales and variances, and biases and means, are the same tensors. */
const fresh = (inputs: string, more = ""): Model =>
  parseModel(`opset 18
graph (x: float32[batch, 2]) -> (logits) {
  first: float32[2, 3] = random(seed 1)
  last: float32[3, 2] = random(seed 2)
  ones: float32[3] = [1, 1, 1]
  zeros: float32[3] = [0, 0, 0]
  ${more}
  h = MatMul(x, first)
  n = BatchNormalization(h, ${inputs})
  r = Relu(n)
  logits = MatMul(r, last)
}`);
const separateTensors = `mean: float32[3] = [0, 0, 0]
  variance: float32[3] = [1, 1, 1]`;
const renamed = `mean = Identity(zeros)
  variance = Identity(ones)`;

const numbers = random(3, "samples");
const samples = {
  x: float32(
    [32, 2],
    Array.from({ length: 64 }, () => numbers.normal()),
  ),
  label: fromNumbers(
    "int64",
    [32],
    Array.from({ length: 32 }, (_, index) => index % 2),
  ),
};
const data = memory("samples", samples);
const options = { data, epochs: 4, batch: 32, optimizer: "sgd", learningRate: 0.5 } as const;

async function meansOf({ graph }: Model): Promise<readonly number[]> {
  const norm = [...graph.nodes()].find(({ op }) => op === "BatchNormalization");
  const dense = await norm?.inputs[3]?.tensor?.read();
  return dense === undefined ? [] : toNumbers(dense);
}

const storedOnce = [
  ["stored once", "ones, zeros, zeros, ones", ""],
  ["stored once under two names", "ones, zeros, mean, variance", renamed],
] as const;

test.each(storedOnce)(
  "statistics that are %s with scale and bias train as if they were stored apart",
  async (_, inputs, more) => {
    for (const batchStatistics of [false, true]) {
      const [shared, separate] = [fresh(inputs, more), fresh("ones, zeros, mean, variance", separateTensors)];
      const [got, expected] = [
        await train(shared, { ...options, batchStatistics }),
        await train(separate, { ...options, batchStatistics }),
      ];
      expect(got.misses).toEqual([]);
      expect(got.history.map(({ loss }) => loss)).toEqual(expected.history.map(({ loss }) => loss));
      const movedMeans = await meansOf(shared);
      expect(movedMeans).toEqual(await meansOf(separate));
      expect(movedMeans.map((number) => number !== 0)).toEqual(Array.from({ length: 3 }, () => batchStatistics));
    }
  },
);

test.each(storedOnce)("training does not change statistics that are %s", async (_, inputs, more) => {
  const model = fresh(inputs, more);
  const step = await createStep(model, samples, { loss: crossEntropy() });
  const before = await step.run(samples);
  sgd().update(step.parameters, 0.5);
  const firstLoss = await step.run(samples);
  expect(firstLoss).toBeLessThan(before);
  step.store(model);
  await step.release();
  expect(verify(model)).toEqual([]);
  expect(await meansOf(model)).toEqual([0, 0, 0]);
  const secondStep = await createStep(model, samples, { loss: crossEntropy() });
  expect(await secondStep.run(samples)).toBeCloseTo(firstLoss, 6);
  await secondStep.release();
});
