/** Tests the loss on validation samples. */
import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dataset } from "../../data/batches/dataset.ts";
import { memoryLimit } from "./batch-size.ts";
import { meanSquaredError } from "./losses/numbers.ts";
import { cacheBySizes, validationLoss } from "./validation-loss.ts";

test("weights batches of several lengths by their number of samples", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, length]) -> (y) {
  two: float32[] = 2
  y = Mul(x, two)
}`);
  const batch = (rows: number, length: number, value: number) => ({
    x: float32([rows, length], new Float32Array(rows * length).fill(value)),
    label: float32([rows, length], new Float32Array(rows * length)),
  });
  const data: Dataset = {
    name: "texts",
    count: undefined,
    async *batches() {
      yield batch(2, 3, 1);
      yield batch(2, 5, 2);
      yield batch(1, 3, 3);
    },
  };
  const context = completeContext({ engine: createEngine() });
  // (2 · 2² + 2 · 4² + 1 · 6²) / 5
  expect(await validationLoss(model, data, meanSquaredError(), 2, context)).toBeCloseTo(76 / 5, 6);
});

test("releases the oldest graphs first if all exceed the memory limit", async () => {
  const released: number[] = [];
  const shares = [0, 0.4, 0.4, 0.4, 2];
  const graphs = cacheBySizes(
    async ({ x }) => ({ length: x?.dims[0] ?? 0, bytes: (shares[x?.dims[0] ?? 0] ?? 0) * memoryLimit }),
    async ({ length }) => void released.push(length),
  );
  for (const length of [1, 2, 1]) await graphs.of({ x: float32([length], new Float32Array(length)) });
  expect(released).toEqual([]);
  await graphs.of({ x: float32([3], [0, 0, 0]) });
  expect(released).toEqual([2]);
  await graphs.of({ x: float32([4], [0, 0, 0, 0]) });
  expect(released).toEqual([2, 1, 3]);
  await graphs.release();
  expect(released).toEqual([2, 1, 3, 4]);
});
