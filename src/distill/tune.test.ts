import { describe, expect, test } from "vitest";
import { memory } from "../data/index.ts";
import type { Model } from "../graph/model.ts";
import { batchNorm, linear, network, relu } from "../nn/index.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { distill } from "./distill.ts";
import { search } from "./tune.ts";

describe("a search", () => {
  const start = { learningRate: 2, temperature: 4, alpha: 1 };
  const score = async ({ learningRate, alpha }: typeof start) => 10 * Math.abs(learningRate - 3) + alpha;

  test("tries one setting after the other, each with the best of those before", async () => {
    const { best, tried } = await search(start, { learningRate: [1, 3], temperature: [], alpha: [0.5, 2] }, score);
    expect(best).toEqual({ learningRate: 3, temperature: 4, alpha: 0.5 });
    expect(tried.map(({ settings }) => [settings.learningRate, settings.alpha])).toEqual([
      [2, 1],
      [1, 1],
      [3, 1],
      [3, 0.5],
      [3, 2],
    ]);
  });

  test("keeps what it began with where nothing is better, and prefers any number to none", async () => {
    const good = { ...start, learningRate: 3, alpha: 0 };
    expect((await search(good, { learningRate: [2], temperature: [], alpha: [1] }, score)).best).toEqual(good);
    const broken = async ({ learningRate }: typeof start) => (learningRate > 1 ? Number.NaN : 7);
    const choices = { learningRate: [9, 1], temperature: [], alpha: [] };
    expect((await search(good, choices, broken)).best).toEqual({ ...good, learningRate: 1 });
  });
});

const count = 400;
const numbers = random(1, "points");
const points = Float32Array.from({ length: count * 4 }, () => numbers.normal());
const classes = Array.from({ length: count }, (_, at) => Number((points[at * 4] ?? 0) + (points[at * 4 + 1] ?? 0) > 0));
const labelled = memory("points", { input: float32([count, 4], points), label: int64([count], classes) });
const unlabelled = memory("points", { input: float32([count, 4], points) });
const student = (): Model => network({ fc: linear(4, 2) }, { input: ["batch", 4], seed: 3 });

async function taught(options: Partial<Parameters<typeof distill>[1]>, model = student()) {
  const teacher = network({ fc1: linear(4, 16), relu: relu(), fc2: linear(16, 2) }, { input: ["batch", 4], seed: 2 });
  const said: string[] = [];
  const log = ({ id, text }: { readonly id: string; readonly text: string }) => id === "tune" && said.push(text);
  const { training } = await distill(
    model,
    { teacher, data: labelled, epochs: 3, batch: 20, ...options },
    { log, seed: 1 },
  );
  const weights = await model.graph.value("fc.weight")?.tensor?.read();
  return { said, training, weights: weights === undefined ? [] : [...toFloat64(weights)] };
}

describe("distill with tune", () => {
  test("prints what it tried on held-out samples, and trains with the best on all of them", async () => {
    const { said, training, weights } = await taught({ tune: true, learningRate: 3e-4 });
    expect(said).toHaveLength(7);
    expect(said[0]).toMatch(
      /^tuned on 40 held-out samples: learning rate 0\.0003, temperature 4, alpha 0\.7: cross-entropy \d\.\d+/,
    );
    const [taken = "", ...others] = said.filter((line) => line.endsWith("← taken"));
    expect(others).toEqual([]);
    const [, learningRate, temperature, alpha] = (
      /rate ([\d.e-]+), temperature (\d+), alpha ([\d.]+)/.exec(taken) ?? []
    ).map(Number);
    expect(learningRate).toBeGreaterThan(3e-4);
    expect(training.samples).toBe(count);
    expect(weights).toEqual((await taught({ learningRate, temperature, alpha })).weights);
  });

  test("calls the callbacks of the training, not in the trials", async () => {
    const epochs: number[] = [];
    const onEpoch = ({ epoch }: { readonly epoch: number }) => void epochs.push(epoch);
    await taught({ tune: true, onEpoch });
    expect(epochs).toEqual([1, 2, 3]);
  });

  test("of samples without labels, or with a loss of its own, tries what there is", async () => {
    const free = await taught({ tune: true, data: unlabelled });
    expect(free.said.map((line) => /temperature \d+/.exec(line)?.[0])).toEqual([
      "temperature 4",
      "temperature 4",
      "temperature 4",
      "temperature 2",
      "temperature 8",
    ]);
    const own = await taught({ tune: true, loss: "logit-mse", validation: 0.25 });
    expect(own.said).toHaveLength(3);
    expect(own.said[0]).toMatch(/^tuned on 100 held-out samples: learning rate 0\.001: /);
  });

  test("holds nothing of a stream out: that takes samples of their own", async () => {
    const stream = {
      name: "stream",
      count: undefined,
      batches: (how: { readonly size: number }) => labelled.batches(how),
    };
    const options = { tune: true, data: stream, schedule: "constant" } as const;
    await expect(taught(options)).rejects.toMatchObject({ code: "E_DATA", message: /stream: no share/ });
    expect((await taught({ ...options, validation: labelled, learningRate: 3e-4 })).said[0]).toContain(
      `tuned on ${count} held-out samples`,
    );
  });
});

describe("batch statistics", () => {
  const normalized = (): Model => network({ fc: linear(4, 2), norm: batchNorm(2) }, { input: ["batch", 4], seed: 3 });

  test.each([
    [{}, true],
    [{ batch: 8 }, false],
    [{ batchStatistics: false }, false],
  ])("%j: updated %s", async (options, updated) => {
    const model = normalized();
    for (const value of model.graph.values()) if (value.role?.kind === "state") value.role = undefined;
    const means = async () => {
      const found = [...model.graph.values()].find(({ name }) => name.includes("mean"));
      return found?.tensor === undefined ? [] : [...toFloat64(await found.tensor.read())];
    };
    const before = await means();
    expect(before.length).toBeGreaterThan(0);
    await taught({ ...options, epochs: 1 }, model);
    expect((await means()).some((number, at) => number !== before[at])).toBe(updated);
  });
});
