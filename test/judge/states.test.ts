/** Models with states: runs over data in a recipe and in a recovery start them at zero and carry them, as an evaluation does. */
import { expect, test } from "vitest";
import { train } from "../../src/learn/train/index.ts";
import { calibrate } from "../../src/techniques/calibrate/calibration.ts";
import { channelMoments } from "../../src/techniques/calibrate/column-statistics.ts";
import { observe, valueRange } from "../../src/techniques/calibrate/observe.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { recover } from "../../src/techniques/recover/index.ts";
import { engine, model, samples } from "./states.ts";

test("a recovery fits layers to the original's outputs for the carried states", async () => {
  const original = model();
  const damaged = model();
  await prune(damaged, { amount: 0.4 });
  const { changes, misses } = await recover(damaged, { original, data: samples(), minutes: 1 }, { engine });
  expect(changes.map(({ at }) => at)).toContain("least-squares");
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toContainEqual(
    expect.stringContaining("end-to-end: The model carries states (state from stateN)"),
  );
});

test("a calibration uses the carried state at each sample", async () => {
  const [original, data] = [model(), samples()];
  const walk = await calibrate(original, { data }, { engine });
  const node = [...original.graph.nodes()].find(({ name }) => name === "fc3");
  if (node === undefined) throw new Error("There is such a layer.");
  await walk.reach(node);
  const [moments, range] = [
    await walk.observe({ name: "y" }, channelMoments),
    await walk.observe({ name: "y" }, valueRange),
  ];
  await walk.release();
  const carried = await observe(engine, original, data, ["y"], channelMoments);
  expect(moments.mean[0]).toBeCloseTo(carried.get("y")?.mean[0] ?? 0, 6);
  expect(moments.variance[0]).toBeCloseTo(carried.get("y")?.variance[0] ?? 0, 6);
  const expected = (await observe(engine, original, data, ["y"], valueRange)).get("y");
  expect(range.min).toBeCloseTo(expected?.min ?? 0, 5);
  expect(range.max).toBeCloseTo(expected?.max ?? 0, 5);
});

test("training reports that it does not backpropagate through time", async () => {
  await expect(train(model(), { data: samples(), loss: "mse", epochs: 1 }, { engine })).rejects.toThrow(
    "The model carries states (state from stateN), and backpropagation through time is not supported.",
  );
});
