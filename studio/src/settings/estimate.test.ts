import { type Inspection, inspect, type Model } from "pith";
import { factorize } from "pith/factorize";
import { conv2d, flatten, linear, network, relu } from "pith/nn";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
import { describe, expect, test } from "vitest";
import type { Settings } from "../backend/backend.ts";
import { estimateSizes, measuredSizes } from "./estimate.ts";
import { initialSettings, nameOf, presets, recipeOf } from "./presets.ts";

const convolutional = (): Model =>
  network(
    {
      conv1: conv2d(3, 32, 3, { padding: 1 }),
      relu1: relu(),
      conv2: conv2d(32, 64, 3, { padding: 1 }),
      relu2: relu(),
      flatten: flatten(),
      fc: linear(64 * 8 * 8, 10),
    },
    { input: ["batch", 3, 8, 8], seed: 1 },
  );
const dense = (): Model =>
  network({ fc1: linear(256, 512), relu: relu(), fc2: linear(512, 10) }, { input: ["batch", 256], seed: 1 });

const estimatedBytes = (inspection: Inspection, settings: Settings): number =>
  estimateSizes(inspection, settings)?.total ?? Number.NaN;

const networks = { convolutional, dense };

describe.each(Object.entries(networks))("the estimate of a %s network", (_, create) => {
  test("of the model itself has the bytes of its file", async () => {
    const inspection = await inspect(create());
    expect(measuredSizes(inspection).total).toBe(inspection.bytes);
  });

  test.each([
    ["weights", { scheme: "weights" }],
    ["float16", { scheme: "float16" }],
  ] as const)("of %s is within a tenth of the measured bytes", async (preset, options) => {
    const model = create();
    const estimate = estimatedBytes(await inspect(model), initialSettings(preset));
    await quantize(model, options);
    const { bytes } = await inspect(model);
    expect(Math.abs(estimate / bytes - 1)).toBeLessThan(0.1);
  });

  test("of fewer bits is within 15 % of the measured bytes", async () => {
    const model = create();
    const estimate = estimatedBytes(await inspect(model), initialSettings("bits"));
    await quantize(model, { scheme: "weights", bits: 4 });
    const { bytes } = await inspect(model);
    expect(Math.abs(estimate / bytes - 1)).toBeLessThan(0.15);
  });

  test.each([0.05, 0.3, 0.5])(
    "of channels without the share %d is within a tenth of the measured bytes",
    async (amount) => {
      const model = create();
      const settings: Settings = { ...initialSettings("channels"), amount, storage: "float32" };
      const estimate = estimatedBytes(await inspect(model), settings);
      await prune(model, { amount, structured: true });
      const { bytes } = await inspect(model);
      expect(Math.abs(estimate / bytes - 1)).toBeLessThan(0.1);
    },
  );

  test("of pruned channels is the model itself if the amount is less than half of a block", async () => {
    const model = create();
    const settings: Settings = { ...initialSettings("channels"), amount: 0.01, storage: "float32" };
    const inspection = await inspect(model);
    const { changes } = await prune(model, { amount: 0.01, structured: true });
    expect(changes).toEqual([]);
    expect(estimatedBytes(inspection, settings)).toBe(inspection.bytes);
  });

  test("of a low rank is within 15 % of the measured bytes", async () => {
    const model = create();
    const settings: Settings = { ...initialSettings("low-rank"), amount: 0.6, storage: "float32" };
    const estimate = estimatedBytes(await inspect(model), settings);
    await factorize(model, { budget: 0.6 });
    const { bytes } = await inspect(model);
    expect(Math.abs(estimate / bytes - 1)).toBeLessThan(0.15);
  });
});

test("every preset has a name and a recipe with at least one step", () => {
  for (const { id } of presets) {
    const settings = initialSettings(id);
    expect(nameOf(settings)).not.toBe("");
    const request = recipeOf(settings);
    expect("steps" in request ? request.steps.length : request.minutes).toBeGreaterThan(0);
  }
});

test("a slider that moves gives another name and another recipe", () => {
  for (const { id, slider } of presets) {
    if (slider === undefined) continue;
    const [low, high] = [slider.min, slider.max].map((amount) => ({ ...initialSettings(id), amount }));
    expect(nameOf(low as Settings)).not.toBe(nameOf(high as Settings));
    expect(recipeOf(low as Settings)).not.toEqual(recipeOf(high as Settings));
  }
});
