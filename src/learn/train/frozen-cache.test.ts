import { describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { memory } from "../../data/index.ts";
import { distill, distillation } from "../../techniques/distill/index.ts";
import { flatten, linear, network, relu } from "../nn/index.ts";
import { withOutputCache } from "./frozen-cache.ts";
import { createStep } from "./step.ts";

/** Runs a graph with and without the output cache, on rows of `numbers`, and counts the runs. */
async function runWithCache(
  text: string,
  batches: readonly (readonly number[])[],
  { bytesLeft = 1e6, samples = 8 } = {},
) {
  const model = parseModel(text);
  const plain = await createEngine().load(model);
  let runs = 0;
  const counting = {
    async run(feeds: Batch) {
      runs++;
      return plain.run(feeds);
    },
    async release() {},
  };
  const kept = { bytesLeft, samples };
  const part = withOutputCache(counting, model, kept);
  const counts: number[] = [];
  for (const rows of batches) {
    const feeds = {
      x: float32(
        [4, 2],
        rows.flatMap((row) => [Math.sin(row), Math.cos(2 * row)]),
      ),
    };
    expect(await part.run(feeds)).toEqual(await plain.run(feeds));
    counts.push(runs);
    runs = 0;
  }
  const { bytesLeft: rest } = kept;
  await part.release();
  expect(kept.bytesLeft).toBe(bytesLeft);
  return { counts, taken: bytesLeft - rest };
}

const graph = (lines: string, output: string): string => `opset 18
graph (x: float32[4, 2]) -> (y: ${output}, steps: float32[3]) {
  w: float32[2, 3] = [1, 2, 3, 4, 5, 6]
  steps = Mul(c, c)
  c: float32[3] = [1, 2, 3]
  ${lines}
}`;
const teacher = graph("y = MatMul(x, w)", "float32[4, 3]");
const [first, second, mixed] = [
  [0, 1, 2, 3],
  [4, 5, 6, 7],
  [7, 0, 5, 2],
];

describe("withOutputCache", () => {
  test("caches outputs per sample and returns constant outputs, too", async () => {
    // The first batch runs twice, to check whether its outputs have a sample axis.
    const { counts, taken } = await runWithCache(teacher, [first, second, mixed, first, [0, 1, 2, 8], [8, 0, 8, 4]]);
    expect(counts).toEqual([2, 1, 0, 0, 1, 0]);
    expect(taken).toBe(9 * 3 * 4);
  });

  test("caches several rows per sample", async () => {
    const rows = `shape: int64[2] = [8, 1]\n  flat = Reshape(x, shape)\n  v: float32[1, 3] = [1, 2, 3]\n  y = MatMul(flat, v)`;
    expect((await runWithCache(graph(rows, "float32[8, 3]"), [first, second, mixed])).counts).toEqual([2, 1, 0]);
  });

  test.each([
    [
      "statistics of the batch",
      "axes: int64[1] = [0]\n  mean = ReduceMean(x, axes)\n  z = Sub(x, mean)\n  y = MatMul(z, w)",
      "float32[4, 3]",
    ],
    ["similarities between samples", "t = Transpose(x) {perm=[1, 0]}\n  y = MatMul(x, t)", "float32[4, 4]"],
    ["sums over the batch", "y = ReduceSum(x) {keepdims=0}", "float32[]"],
    ["places of a transposed text", "y = Transpose(x) {perm=[1, 0]}", "float32[2, 4]"],
  ])("is disabled if outputs are %s", async (_, lines, output) => {
    const { counts, taken } = await runWithCache(graph(lines, output), [first, second, first, mixed]);
    expect(counts.slice(1)).toEqual([1, 1, 1]);
    expect(taken).toBe(0);
  });

  test("is disabled if the budget does not hold an epoch", async () => {
    expect((await runWithCache(teacher, [first, first], { bytesLeft: 8 * 3 * 4 - 1 })).counts).toEqual([1, 1]);
    expect((await runWithCache(teacher, [first, first], { bytesLeft: 8 * 3 * 4 })).counts).toEqual([2, 0]);
  });
});

describe("distill", () => {
  const inputs = Float32Array.from({ length: 64 * 4 }, (_, index) => Math.sin(index * 1.7));
  const data = memory("waves", { input: float32([64, 1, 2, 2], inputs) });
  const ofWidth = (width: number) =>
    network(
      { flat: flatten(), fc1: linear(4, width), relu: relu(), fc2: linear(width, 3) },
      { input: ["batch", 1, 2, 2], seed: 2 },
    );

  const small = () => network({ flat: flatten(), fc: linear(4, 3) }, { input: ["batch", 1, 2, 2], seed: 3 });

  async function countRuns(options: { readonly augment?: string }) {
    const engine = createEngine();
    let runs = 0;
    const counting: Engine = {
      async load(model: Model, how) {
        const session = await engine.load(model, how);
        if (how?.inPlace === true || how?.optimize === false) return session;
        return {
          ...session,
          run: (...given) => session.run(...given).finally(() => runs++),
          release: () => session.release(),
        };
      },
    };
    await distill(
      small(),
      { teacher: ofWidth(1024), data, epochs: 5, batch: 16, learningRate: 0.01, ...options },
      { engine: counting },
    );
    return runs;
  }

  test("runs the teacher in the first epoch only", async () => {
    expect(await countRuns({})).toBe(4 + 1);
  });

  test("computes bit-identical gradients with the outputs of the first epoch", async () => {
    const gradients = async (cachesFrozen: boolean) => {
      const loss = distillation({ teacher: ofWidth(1024), alpha: 1 });
      const batches = [0, 16].map((first) => ({
        input: float32([16, 1, 2, 2], inputs.slice(4 * first, 4 * first + 64)),
      }));
      const step = await createStep(small(), batches[0] ?? {}, { loss, cachesFrozen, samples: 32 });
      const results: (readonly number[])[] = [];
      for (const batch of [...batches, ...batches]) {
        await step.run(batch);
        results.push(step.parameters.flatMap(({ gradient }) => [...gradient]));
      }
      await step.release();
      return results;
    };
    expect(await gradients(true)).toEqual(await gradients(false));
  });

  test("runs the teacher in every epoch if augmentation changes the samples", async () => {
    expect(await countRuns({ augment: "crop=1" })).toBe(5 * 4);
  });
});
