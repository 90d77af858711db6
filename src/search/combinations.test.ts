import { describe, expect, test } from "vitest";
import { createFinder, offer } from "../../test/search/combination.ts";
import { combineOffers, recipeOf } from "./combinations.ts";

const cut = offer("cut", "structure", { sizeShare: 0.5 });
const fit = offer("fit", "healing", { recovery: 0.5 });
const learn = offer("learn", "healing", { recovery: 0.9, hasTraining: true, runs: 10 });
const codes = offer("codes", "numbers", { sizeShare: 0.25, fallsBack: true });
const palettes = offer("palettes", "numbers", { sizeShare: 0.2, isTrainable: true });
const all = combineOffers([cut, fit, learn, codes, palettes]);
const named = createFinder(all);

describe("combinationsOf", () => {
  test("joins a structure, its recovery, a number format and its training", () => {
    const names = all.map(({ name }) => name);
    expect(names.slice(0, 3)).toEqual(["codes", "codes, sensitive layers at higher precision", "palettes"]);
    expect(names).toContain("cut, fit, learn, palettes, learn");
    expect(new Set(names).size).toBe(names.length);
  });

  test("recovers nothing that was not pruned, and trains no fixed format", () => {
    const names = all.map(({ name }) => name);
    expect(names.filter((name) => /^(fit|learn)/.test(name) || name.includes("codes, learn"))).toEqual([]);
  });

  test("offers a format that needs training only with training", () => {
    const few = combineOffers([learn, offer("few bits", "numbers", { isTrainable: true, needsTraining: true })]);
    expect(few.map(({ name }) => name)).toEqual(["few bits, learn"]);
  });

  test("evaluates a candidate at its end only", () => {
    const { steps } = recipeOf(named("cut, fit, codes"));
    expect(steps.map((step) => ("judge" in step ? step.judge : undefined))).toEqual([false, false, undefined]);
    const preciseLayers = recipeOf(named("cut, fit, codes, sensitive layers at higher precision"));
    expect(preciseLayers.steps.map((step) => ("judge" in step ? step.judge : undefined))).toEqual([
      false,
      false,
      "fallback",
    ]);
  });
});

test("a mixed-precision step states the bytes of the file, fewer if training adds metadata", () => {
  const bits = offer("bits", "numbers", { bytes: 1000, isTrainable: true });
  const [plain, trained] = combineOffers([bits, learn]).map(recipeOf);
  expect(plain?.steps).toEqual([{ id: "bits", options: {}, maxBytes: 1000 }]);
  expect(trained?.steps[0]).toEqual({ id: "bits", options: {}, maxBytes: 990, judge: false });
});
