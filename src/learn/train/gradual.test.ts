import { describe, expect, test } from "vitest";
import { data, expectContinued, net, trained, validation } from "../../../test/train/corners.ts";
import { Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { remove } from "../../techniques/prune/index.ts";
import { type GradualPruning, gradualPruning } from "./gradual.ts";
import { train } from "./index.ts";
import { gradualOf } from "./train-options.ts";

const read = async (model: Model, name: string): Promise<readonly number[]> =>
  Array.from(((await model.graph.value(name)?.tensor?.read())?.data ?? []) as Float32Array);

const kept = async (model: Model, name: string): Promise<number> =>
  (await read(model, `${name}_mask`)).filter((one) => one === 1).length;

/** Returns a weight with the values 1 to 1000, and its mask. */
const pair = () => ({
  weight: { name: "w", values: Float32Array.from({ length: 1000 }, (_, index) => index + 1) },
  mask: { values: new Float32Array(1000).fill(1), gradient: new Float32Array(1000) },
});

const leftAfter = async (pruning: GradualPruning, mask: Float32Array, steps: number): Promise<readonly number[]> => {
  const keptCounts: number[] = [];
  for (let step = 1; step <= steps; step++) {
    pruning.observe();
    await pruning.prune(step, steps);
    if (step % 10 === 0) keptCounts.push(mask.filter((one) => one === 1).length);
  }
  return keptCounts;
};

describe("the remaining share follows the curve", () => {
  // For cubic: 1000 · (0.1 + 0.9 (1 − t)³) at t = 0.25, 0.5, 0.75 and 1 of 40 steps, then constant.
  test.each([
    ["cubic", [480, 213, 114, 100, 100]],
    ["linear", [775, 550, 325, 100, 100]],
    ["exponential", [562, 316, 178, 100, 100]],
  ] as const)("%s", async (curve, expected) => {
    const masked = pair();
    const pruning = gradualPruning({ ...gradualOf(0.9), every: 10, end: 0.8, curve }, [masked]);
    expect(await leftAfter(pruning, masked.mask.values, 50)).toEqual(expected);
    expect([...masked.mask.values.subarray(0, 900)].every((kept) => kept === 0)).toBe(true);
  });

  test("starts from the share of an existing mask and never increases", async () => {
    const masked = pair();
    masked.mask.values.fill(0, 0, 500);
    const pruning = gradualPruning({ ...gradualOf(0.9), every: 10, end: 0.8, curve: "linear" }, [masked]);
    expect(await leftAfter(pruning, masked.mask.values, 50)).toEqual([400, 300, 200, 100, 100]);
    const sparse = pair();
    sparse.mask.values.fill(0, 0, 950);
    const less = gradualPruning({ ...gradualOf(0.9), every: 10, end: 0.8 }, [sparse]);
    expect(await leftAfter(less, sparse.mask.values, 50)).toEqual([50, 50, 50, 50, 50]);
  });

  test.each([
    [0.5, 0.52],
    [0.1, 0.2],
    [0.99, 1],
  ])("prunes at once if the training has no step between %f and %f", async (begin, end) => {
    const masked = pair();
    const pruning = gradualPruning({ ...gradualOf(0.9), begin, end }, [masked]);
    await leftAfter(pruning, masked.mask.values, 2);
    expect(masked.mask.values.filter((kept) => kept === 1)).toHaveLength(100);
    expect(pruning.isOver(2, 2)).toBe(true);
  });

  test("prunes all layers jointly and keeps an entry of each", async () => {
    const [firstPair, secondPair] = [pair(), pair()];
    secondPair.weight.values.fill(1e-3);
    const pruning = gradualPruning({ ...gradualOf(0.5), every: 10, end: 1, scope: "global" }, [firstPair, secondPair]);
    await leftAfter(pruning, firstPair.mask.values, 20);
    const keptCounts = [firstPair, secondPair].map(({ mask }) => mask.values.filter((kept) => kept === 1).length);
    expect(keptCounts).toEqual([1000, 1]);
  });
});

test("trains tied matrices without pruning, with the reason", async () => {
  const w = Array.from({ length: 24 }, (_, index) => Math.sin(1.7 * index));
  const turned = w.map((_, index) => w[(index % 3) * 8 + Math.floor(index / 3)]);
  const model = parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y) {
  w: float32[3, 8] = [${w}]
  v: float32[8, 3] = [${turned}]
  u: float32[3, 3] = random(seed 2)
  h = MatMul "first" (input, w)
  r = Relu(h)
  s = MatMul "second" (r, v)
  y = MatMul "third" (s, u)
}`);
  const { misses } = await train(model, { data, epochs: 2, batch: 24, prune: 0.7 }, { seed: 1 });
  expect(misses).toContainEqual(new Miss('is not pruned: its weight is tied to "v"', "first"));
  expect(await kept(model, "u")).toBe(3);
  expect([...model.graph.values()].filter(({ role }) => role?.kind === "mask").map(({ name }) => name)).toEqual([
    "u_mask",
  ]);
});

describe("movement scores S = −Σ ∂L/∂m of all entries", () => {
  const gradients = [3, -1, 2, -4];
  const small = () => ({
    weight: { name: "w", values: Float32Array.of(9, 1, 8, 1) },
    mask: { values: new Float32Array(4).fill(1), gradient: Float32Array.from(gradients) },
  });

  test("hard pruning masks the lowest scores, which can return", async () => {
    const masked = small();
    const movement = { ...gradualOf(0.5), every: 1, end: 0.5, importance: "movement", curve: "linear" } as const;
    const pruning = gradualPruning(movement, [masked]);
    for (let step = 1; step <= 2; step++) {
      pruning.observe();
      await pruning.prune(step, 8);
    }
    // The final share is half of the four entries. Halfway, one entry is pruned.
    expect([...masked.mask.values]).toEqual([0, 1, 1, 1]);
    expect([...((pruning.state()["w/score"]?.data ?? []) as Float32Array)]).toEqual([-6, 2, -4, 8]);
    masked.mask.gradient.set([-30, 0, 0, 0]);
    for (let step = 3; step <= 4; step++) {
      pruning.observe();
      await pruning.prune(step, 8);
    }
    expect([...masked.mask.values]).toEqual([1, 0, 0, 1]);
  });

  test("soft pruning keeps scores above a threshold that rises by the penalty", async () => {
    const soft = {
      ...gradualOf(0.5),
      amount: undefined,
      threshold: -5,
      every: 1,
      end: 1,
      importance: "movement",
    } as const;
    const [firstPair, secondPair] = [small(), small()];
    for (const [pair, penalty] of [
      [firstPair, 0],
      [secondPair, 2.5],
    ] as const) {
      const pruning = gradualPruning({ ...soft, penalty }, [pair]);
      for (let step = 1; step <= 2; step++) {
        pruning.observe();
        await pruning.prune(step, 2);
      }
    }
    expect([...firstPair.mask.values]).toEqual([0, 1, 1, 1]);
    expect([...secondPair.mask.values]).toEqual([0, 1, 0, 1]);
  });
});

describe("train with prune", () => {
  const options = { epochs: 3, batch: 24, learningRate: 0.05 } as const;

  test.each([["sgd"], ["adam"], ["adamw"], ["lion"]] as const)(
    "%s keeps exactly the given number of zeros under momentum and weight decay",
    async (optimizer) => {
      const prune = { amount: 0.75, every: 2 };
      const { model, changes } = await trained({ ...options, optimizer, weightDecay: 0.1, prune });
      expect([await kept(model, "fc1.weight"), await kept(model, "fc2.weight")]).toEqual([6, 6]);
      expect(changes.filter(({ kind }) => kind === "masked").map(({ what }) => what)).toEqual([
        "6 of 24 left",
        "6 of 24 left",
      ]);
      await remove(model);
      const zeros = (await read(model, "fc1.weight")).filter((one) => one === 0).length;
      expect(zeros).toBe(18);
      await expect(train(model, { data, epochs: 1 })).resolves.toBeDefined();
    },
  );

  test.each([
    { prune: { amount: 0.75, every: 4 }, validation, average: 0.9, accumulate: 2 },
    { prune: { threshold: -1e-3, penalty: 1e-4, every: 4, importance: "movement" }, clip: 0.5, optimizer: "sgd" },
  ] as const)("resumes with the same bits: $prune", async (settings) => {
    await expectContinued(settings);
  });

  test("does not prune excluded or frozen layers", async () => {
    const { model } = await trained({ ...options, prune: { amount: 0.5, every: 2, except: "fc2" } });
    expect([...model.graph.values()].filter(({ role }) => role?.kind === "mask").map(({ name }) => name)).toEqual([
      "fc1.weight_mask",
    ]);
    const frozen = await trained({ ...options, layers: "fc2", prune: 0.5 });
    expect(frozen.model.graph.value("fc1.weight_mask")).toBeUndefined();
  });

  test("selects the best weights after pruning has finished", async () => {
    const { training, model } = await trained({ ...options, validation, every: 5, prune: { amount: 0.9, every: 5 } });
    expect(training.chosen?.best.step).toBeGreaterThanOrEqual(Math.round(0.75 * 30));
    expect(await kept(model, "fc1.weight")).toBe(2);
  });

  test("continues an existing mask, and a dry run changes nothing", async () => {
    const { model } = await trained({ ...options, prune: { amount: 0.5, every: 2 } });
    await train(model, { data, ...options, prune: { amount: 0.75, every: 2 } });
    expect(await kept(model, "fc1.weight")).toBe(6);
    expect([...net().graph.nodes()].length).toBe(3);
  });

  test.each([
    [{ prune: 1.5 }, "prune"],
    [{ prune: {} }, "either an amount or a threshold"],
    [{ prune: { amount: 0.5, threshold: 0 } }, "either an amount or a threshold"],
    [{ prune: { threshold: 0 } }, 'a threshold is for importance "movement"'],
    [{ prune: { amount: 0.5, penalty: 1 } }, "a penalty is for a threshold"],
    [{ prune: { amount: 0.5, begin: 0.8 } }, "begin is before end"],
    [{ prune: { amount: 0.5, except: "fc9" } }, "fc9"],
  ])("%j is rejected", async (settings, text) => {
    await expect(trained(settings as object)).rejects.toThrow(text);
  });
});
