import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dataset } from "../../data/batches/dataset.ts";
import { memory } from "../../data/index.ts";
import { train } from "./train.ts";

const samples = (seed: number, count = 40): Dataset => {
  const numbers = random(seed, "samples");
  const x = Array.from({ length: count * 3 }, () => numbers.normal());
  const labels = Array.from({ length: count }, (_, index) => index % 2);
  return memory("samples", { x: float32([count, 3], x), label: fromNumbers("int64", [count], labels) });
};

/** Returns a network of two layers, the first with a mask. */
const masked = (mask: string, first = "random(seed 1)"): Model => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 3]) -> (logits) {
  first: float32[3, 4] = ${first}
  mask: float32[3, 4] = ${mask}
  last: float32[4, 2] = random(seed 2)
  w = Mul(first, mask)
  h = MatMul(x, w)
  r = Relu(h)
  logits = MatMul(r, last)
}`);
  const value = model.graph.value("mask");
  if (value !== undefined) value.role = { kind: "mask" };
  return model;
};
const [half, less] = ["[[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]]", "[[1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]"];
const data = samples(1);

const numbersOf = async ({ graph }: Model): Promise<readonly number[]> => {
  const [first, last] = [graph.value("first"), graph.value("last")];
  const read = [await first?.tensor?.read(), await last?.tensor?.read()];
  return read.flatMap((dense) => (dense === undefined ? [] : toNumbers(dense)));
};

test("rejects a checkpoint if masks or frozen weights differ", async () => {
  const checkpoint = temporaryFolder();
  const options = { data, batch: 10, epochs: 1, schedule: "constant", checkpoint } as const;
  await train(masked(half), options);
  const path = `${checkpoint}/last.onnx`;
  const isOther = {
    code: "E_OPTION",
    message: `"${path}" is a checkpoint of another model, or of other values that are not trained.`,
  };
  const resumeOptions = { ...options, epochs: 2, resume: true } as const;
  await expect(train(masked(less), resumeOptions)).rejects.toMatchObject(isOther);
  // Trained values are read from the checkpoint and not from the model.
  const [first, second] = [masked(half), masked(half, "random(seed 5)")];
  await train(first, { ...resumeOptions, checkpoint: temporaryFolder() });
  await train(second, resumeOptions);
  expect(await numbersOf(second)).toEqual(await numbersOf(first));

  const frozen = temporaryFolder();
  const part = { ...options, layers: "logits", checkpoint: frozen } as const;
  await train(masked(half), part);
  const other = train(masked(half, "random(seed 5)"), { ...part, epochs: 2, resume: true });
  await expect(other).rejects.toMatchObject({ message: expect.stringContaining("other values that are not trained") });
});

test("rejects a checkpoint if the validation samples differ", async () => {
  const checkpoint = temporaryFolder();
  const options = { data, batch: 10, epochs: 1, checkpoint, validation: samples(2) } as const;
  await train(masked(half), options);
  const resumeOptions = { ...options, epochs: 2, resume: true } as const;
  for (const validation of [samples(3), samples(2, 20)])
    await expect(train(masked(half), { ...resumeOptions, validation })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("was trained with `validation` 40 samples, "),
    });
  const { history } = await train(masked(half), { ...resumeOptions, validation: samples(2) });
  expect(history.length).toBe(2);
});
