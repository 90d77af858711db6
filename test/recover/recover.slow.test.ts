/** Training in a recovery: from the original, within a time, and from a seed. */
import { expect, test, vi } from "vitest";
import { prune } from "../../src/techniques/prune/index.ts";
import { recover } from "../../src/techniques/recover/index.ts";
import { build, change, data, network, noiseOf, numbers } from "./networks.ts";

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

/** Builds a network that shares no layer with the original. */
const other = () =>
  network(
    "x: float32[n, 3, 6, 6]",
    "y: float32[n, 5]",
    { "c.weight": [6, 3, 3, 3], "c.bias": [6], "d.weight": [5, 6], "d.bias": [5] },
    "  h = Conv(x, c.weight, c.bias)\n  r = Relu(h)\n  p = GlobalAveragePool(r)\n  f = Flatten(p)\n  y = Gemm(f, d.weight, d.bias) {transB=1}",
    2,
  );

test("distills from the original without labels, also if the layers differ", async () => {
  const original = build();
  const narrow = other();
  const before = await noiseOf(narrow, original);
  const options = { original, data, until: "end-to-end", epochs: 20, batch: 20, learningRate: 0.01 } as const;
  const { changes, misses } = await recover(narrow, options);
  expect(changes.at(-1)).toMatchObject({ at: "end-to-end" });
  expect(new Set(misses.map(({ at }) => at))).toEqual(new Set(["c"]));
  expect(await noiseOf(narrow, original)).toBeGreaterThan(before + 3);
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
