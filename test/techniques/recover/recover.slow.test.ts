/** Training in a recovery: from the original, within a time, and from a seed. */
import { expect, test, vi } from "vitest";
import { prune } from "../../../src/techniques/prune/index.ts";
import { recover } from "../../../src/techniques/recover/index.ts";
import { build, change, data, network, noiseOf, numbers, samples } from "./networks.ts";

test("reads the remaining channels from the file if weights were trained after pruning", async () => {
  const original = build();
  const model = original.clone();
  await prune(model, { amount: 0.2, structured: true });
  await change(model, "a.weight", (one) => one * 1.05);
  await prune(model, { amount: 0.2, structured: true });
  for (const name of ["a.weight", "b.weight"]) await change(model, name, (one, index) => one + 0.01 * Math.sin(index));
  const before = await noiseOf(model, original);
  const { changes, misses } = await recover(model, { original, data });
  expect(changes.map(({ at }) => at)).toEqual(["bias", "least-squares"]);
  expect(misses).toEqual([]);
  expect(await noiseOf(model, original)).toBeGreaterThan(before + 3);
});

test("the same seed gives the same weights", async () => {
  const original = build();
  const [first, second] = [original.clone(), original.clone()];
  for (const model of [first, second]) {
    await change(model, "b.weight", (one, at) => (at % 3 === 0 ? 0 : one));
    await recover(model, { original, data }, { seed: 3 });
  }
  for (const name of ["b.weight", "fc.weight", "fc.bias"])
    expect(await numbers(first, name)).toEqual(await numbers(second, name));
});

/** Builds a network whose convolutions have other channels than the original's. It is large enough to learn the original's outputs. */
const other = () =>
  network(
    "x: float32[n, 3, 6, 6]",
    "y: float32[n, 5]",
    {
      "c.weight": [16, 3, 3, 3],
      "c.bias": [16],
      "e.weight": [12, 16, 3, 3],
      "e.bias": [12],
      "d.weight": [5, 12],
      "d.bias": [5],
    },
    `  h = Conv(x, c.weight, c.bias)\n  r = Relu(h)\n  g = Conv(r, e.weight, e.bias)\n  s = Relu(g)
  p = GlobalAveragePool(s)\n  f = Flatten(p)\n  y = Gemm(f, d.weight, d.bias) {transB=1}`,
    2,
  );

test("distills from the original without labels, also if the layers differ", async () => {
  const original = build();
  const student = other();
  const before = await noiseOf(student, original);
  // With the 160 samples of `data`, training overfits: the outputs on held-out samples do not improve.
  const many = samples([1280, 3, 6, 6]);
  const options = { original, data: many, until: "end-to-end", epochs: 20, batch: 20, learningRate: 0.005 } as const;
  const { changes, misses } = await recover(student, options);
  expect(changes.at(-1)).toMatchObject({ at: "end-to-end" });
  expect(new Set(misses.map(({ at }) => at))).toEqual(new Set(["c", "e"]));
  expect(await noiseOf(student, original)).toBeGreaterThan(before + 3);
});

test("ends training at the time limit, and keeps the trained weights", async () => {
  const [original, narrow] = [build(), other()];
  const settings = { epochs: 1_000_000, batch: 20, learningRate: 0.01 } as const;
  // The clock is mocked, so that training has the full time limit even on a busy machine.
  const clock = vi.spyOn(performance, "now").mockReturnValue(0);
  const { changes, misses } = await recover(narrow, {
    original,
    data,
    minutes: 0.02,
    until: "end-to-end",
    ...settings,
  }).finally(() => clock.mockRestore());
  // A long training can overfit, so the stage is either a change or a miss; both report the signal to noise.
  const reports = [...changes.map(({ at, what }) => [at, what]), ...misses.map(({ at, reason }) => [at, reason])];
  expect(reports).toContainEqual(["end-to-end", expect.stringContaining("signal to noise")]);
});
