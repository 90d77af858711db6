import { describe, expect, test } from "vitest";
import { forecastOf, offer } from "../../test/search/combination.ts";
import type { Tradeoff } from "../judge/measure/objective.ts";
import { combineOffers } from "./combinations.ts";

const channels = { family: "channels" };
const all = combineOffers([
  offer("three quarters", "structure", { ...channels, sizeShare: 0.75 }),
  offer("half", "structure", { ...channels, sizeShare: 0.5 }),
  offer("quarter", "structure", { ...channels, sizeShare: 0.25 }),
  offer("rank", "structure", { sizeShare: 0.5 }),
  offer("fit", "healing", { recovery: 0.5 }),
  offer("learn", "healing", { recovery: 0.9, hasTraining: true, runs: 10 }),
  offer("learn longer", "healing", { recovery: 0.95, hasTraining: true, runs: 20, family: "learn" }),
  offer("codes", "numbers", { sizeShare: 0.25, fallsBack: true }),
  offer("palettes", "numbers", { sizeShare: 0.2, isTrainable: true }),
]);
const forecast = (tried?: Readonly<Record<string, Tradeoff | undefined>>, goal?: number) =>
  forecastOf(all, tried, goal);
const close = (figures: Tradeoff) =>
  Object.fromEntries(Object.entries(figures).map(([key, value]) => [key, expect.closeTo(value, 9)]));

describe("before any candidate is tried", () => {
  // Speeds are 0.5 ** −0.6 and 0.25 ** −0.6. Drops in goals of 0.01: pruning 10 · (1/l − 1), a format 0.3, a trained one 3, times what recovery leaves.
  test.each([
    ["half", { size: 500, speed: 1.515716567, drop: 0.1 }],
    ["quarter", { size: 250, speed: 2.29739671, drop: 0.3 }],
    ["half, fit", { size: 500, speed: 1.515716567, drop: 0.05 }],
    // With several recovery steps, the best one counts.
    ["half, fit, learn", { size: 500, speed: 1.515716567, drop: 0.01 }],
    ["codes", { size: 250, speed: 1, drop: 0.003 }],
    ["palettes, learn", { size: 200, speed: 1, drop: 0.003 }],
    // 0.5 · 0.25 of the bytes, and a drop of 0.1 + 0.003.
    ["half, codes", { size: 125, speed: 1.515716567, drop: 0.103 }],
  ] as const)("predicts %s: pruning in proportion to 1/l − 1, formats a third of the goal", (name, figures) => {
    expect(forecast()(name)).toEqual(close(figures));
  });

  test("does not combine a trained format with pruning", () => {
    expect(forecast()("half, palettes, learn")).toBeUndefined();
  });

  test("expects larger drops for a larger goal", () => {
    expect(forecast({}, 0.1)("half")?.drop).toBeCloseTo(1, 9);
  });
});

describe("from parts that were tried", () => {
  const half = { size: 600, speed: 2, drop: 0.02 };
  const codes = { size: 300, speed: 1.5, drop: 0.001 };

  test("multiplies bytes and speeds, and adds drops", () => {
    const predict = forecast({ half, codes });
    expect(predict("half, codes")).toEqual(close({ size: 180, speed: 3, drop: 0.021 }));
  });

  test("does not offset the drop of a part by the gain of another", () => {
    expect(forecast({ half, codes: { ...codes, drop: -0.01 } })("half, codes")?.drop).toBeCloseTo(0.02, 9);
  });

  // 0.125 / 0.25 = 0.5 of the bytes, 3 / 1.5 = 2 × the speed, and 0.012 − 0.002 of the drop are due to pruning.
  test("predicts pruning that was tried with a format only", () => {
    const predict = forecast({
      codes: { size: 250, speed: 1.5, drop: 0.002 },
      "half, codes": { size: 125, speed: 3, drop: 0.012 },
    });
    expect(predict("half")).toEqual(close({ size: 500, speed: 2, drop: 0.01 }));
  });

  test("excludes rejected parts, but not their family and other recovery", () => {
    const predict = forecast({
      half: undefined,
      "half, fit": { size: 500, drop: 0.01 },
      rank: undefined,
      codes: undefined,
    });
    expect(["rank, fit", "codes", "quarter, codes"].map((name) => predict(name))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(predict("half")?.drop).toBeCloseTo(0.02, 9);
    expect(predict("quarter")).toBeDefined();
  });

  test("excludes pruning that kept more than 99 % of the bytes", () => {
    expect(forecast({ "three quarters": { size: 995, drop: 0 } })("three quarters, codes")).toBeUndefined();
    expect(forecast({ "three quarters": { size: 985, drop: 0 } })("three quarters, codes")).toBeDefined();
  });
});

describe("pruning predicted from its family", () => {
  // log(1/4) / log(1/2) = 2: 0.6² of the bytes; the exponent of the speed is 0.7751: 0.36 ** −0.7751; (4 − 1) / (2 − 1) = 3 times the drop.
  test("scales bytes by a power, speed by its exponent, and drops by 1/l − 1", () => {
    const predict = forecast({ half: { size: 600, speed: 1.5, drop: 0.01 } });
    expect(predict("quarter")).toEqual(close({ size: 360, speed: 2.120850274, drop: 0.03 }));
    expect(predict("rank")?.drop).toBeCloseTo(0.1, 9);
  });

  test("uses the nearest amount", () => {
    const predict = forecast({ "three quarters": { size: 750, drop: 0.5 }, half: { size: 500, drop: 0.01 } });
    expect(predict("quarter")?.drop).toBeCloseTo(0.03, 9);
  });

  test("prefers the same recovery, however distant the amount is", () => {
    const predict = forecast({ half: { size: 500, drop: 0.5 }, "three quarters, fit": { size: 750, drop: 0.002 } });
    // (4 − 1) / (4/3 − 1) = 9.
    expect(predict("quarter, fit")?.drop).toBeCloseTo(0.018, 9);
  });

  test("uses another recovery in proportion to what each is expected to leave", () => {
    const predict = forecast({ "half, fit": { size: 500, drop: 0.01 } });
    expect([predict("half")?.drop, predict("half, fit, learn")?.drop]).toEqual([
      expect.closeTo(0.02, 9),
      expect.closeTo(0.002, 9),
    ]);
  });

  test("uses a tenth of the goal for a smaller drop", () => {
    expect(forecast({ half: { size: 500, drop: -1 } })("quarter")?.drop).toBeCloseTo(0.003, 9);
  });
});
