/** Masks on every topology: a saved model with masks computes the same as after folding them. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { isPruned, prune, remove } from "../../../src/techniques/prune/index.ts";
import { topologies } from "../../zoo/topologies.ts";
import { feedsOf } from "./silenced.ts";

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<number[][]> {
  const session = await engine.load(model);
  const outputs = await session.run(feeds);
  await session.release();
  return Object.values(outputs).map((dense) => [...toFloat64(dense)]);
}

describe.each(topologies.map((topology) => [topology.name, topology] as const))("%s", (_, topology) => {
  test.each(["uniform", "global"] as const)(
    "masks (%s) are saved, read, run and folded without changing outputs",
    async (scope) => {
      const model = parseModel(topology.text);
      const feeds = feedsOf(topology, 1);
      const before = await run(model, feeds);
      const { changes } = await prune(model, { amount: 0.6, scope, keepMasks: true });
      // After an unknown operator, no layer is found and nothing changes.
      expect(changes.length > 0).toBe(layers(model, infer(model)).length > 0);
      if (changes.length === 0) return;
      expect(verify(model)).toEqual([]);
      const read = await open(await encodeToBytes(model));
      expect(isPruned(read)).toBe(true);
      const masked = await run(read, feeds);
      expect(masked).not.toEqual(before);
      await remove(read);
      expect(verify(read)).toEqual([]);
      expect(isPruned(read)).toBe(false);
      expect(read.graph.nodeCount).toBe(parseModel(topology.text).graph.nodeCount);
      const folded = await run(read, feeds);
      folded.forEach((output, index) => {
        output.forEach((value, place) => {
          expect(Math.abs(value - (masked[index]?.[place] ?? Number.NaN))).toBeLessThanOrEqual(
            1e-5 * (1 + Math.abs(value)),
          );
        });
      });
    },
  );
});

test("a mask does not rename other values", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  fc.weight: float32[4, 4] = random(seed 1)
  fc.weight_orig: float32[4, 4] = random(seed 2)
  fc.weight_mask: float32[4] = random(seed 3)
  h = MatMul(x, fc.weight)
  a = Add(h, fc.weight_mask)
  y = MatMul(a, fc.weight_orig)
}`);
  const names = (): string[] => layers(model, infer(model)).map(({ name }) => name);
  const before = names();
  await prune(model, { amount: 0.5, keepMasks: true });
  expect(verify(model)).toEqual([]);
  expect(names()).toEqual(before);
  await remove(model);
  expect([...model.graph.values()].flatMap(({ name, tensor }) => (tensor === undefined ? [] : [name])).sort()).toEqual([
    "fc.weight",
    "fc.weight_mask",
    "fc.weight_orig",
  ]);
});

test("masks run in a model of opset 6", async () => {
  const model = parseModel(`ir 3, opset 6
graph (x: float32[2, 4], w: float32[4, 3] = random(seed 1)) -> (y: float32[2, 3]) {
  y = MatMul(x, w)
}`);
  await prune(model, { amount: 0.5, keepMasks: true });
  const [y] = await run(model, { x: float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]) });
  expect(y?.every(Number.isFinite)).toBe(true);
});
