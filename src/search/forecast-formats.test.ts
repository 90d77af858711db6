import { describe, expect, test } from "vitest";
import { forecastOf, offer } from "../../test/search/combination.ts";
import type { Tradeoff } from "../judge/measure/objective.ts";
import { combineOffers, type Offer } from "./combinations.ts";

const goal = 0.01;
const half = offer("half", "structure", { sizeShare: 0.5 });

/** Predicts combinations of these offers and a cut by half. @param tried figures by name. */
const forecast = (offers: readonly Offer[], tried?: Readonly<Record<string, Tradeoff | undefined>>) =>
  forecastOf(combineOffers([half, ...offers]), tried, goal);

describe("a trained format", () => {
  const palettes = [
    offer("palettes", "numbers", { sizeShare: 0.2, isTrainable: true }),
    offer("learn", "healing", { recovery: 0.9, hasTraining: true }),
    offer("learn longer", "healing", { recovery: 0.95, hasTraining: true, runs: 10, family: "learn" }),
  ];

  test("is combined with pruning only after it was tried alone", () => {
    expect(forecast(palettes)("half, palettes, learn")).toBeUndefined();
    const predict = forecast(palettes, { "palettes, learn": { size: 250, drop: 0.004 } });
    expect(predict("half, palettes, learn")?.size).toBeCloseTo(125, 9);
  });

  test("has a smaller drop with longer training, in proportion to expectations: 0.05 / 0.1", () => {
    const predict = forecast(palettes, { "palettes, learn": { size: 250, drop: 0.004 } });
    expect([predict("palettes, learn longer")?.drop, predict("palettes, learn longer")?.size]).toEqual([
      expect.closeTo(0.002, 9),
      250,
    ]);
  });

  test("is not predicted from the format without training", () => {
    const predict = forecast(palettes, { palettes: { size: 250, drop: 0.2 } });
    expect(predict("palettes, learn")?.drop).toBeCloseTo(3 * goal * 0.1, 9);
    expect(predict("half, palettes, learn")).toBeUndefined();
  });

  describe("of fewer bits", () => {
    const both = [...palettes, offer("small palettes", "numbers", { sizeShare: 0.1, isTrainable: true })];

    test("loses at least as much as more bits after the same training", () => {
      const trained = { palettes: { size: 250, drop: 0.04 }, "palettes, learn": { size: 250, drop: 0.02 } };
      expect(forecast(both, trained)("small palettes, learn")?.drop).toBeCloseTo(0.02, 9);
      const failed = { ...trained, "palettes, learn": undefined };
      expect(forecast(both, failed)("small palettes, learn")?.drop).toBe(Number.POSITIVE_INFINITY);
    });
  });
});

describe("mixed precision for a target size", () => {
  /** @param left the target size as a share of the original. */
  const bits = (left: number, tried: Readonly<Record<string, Tradeoff>> = {}) =>
    forecast([offer("bits", "numbers", { bytes: 1000 * left })], tried);

  test("fills the target size, also after pruning", () => {
    expect([bits(1 / 16)("bits")?.size, bits(1 / 16)("half, bits")?.size]).toEqual([62.5, 62.5]);
  });

  // 32 / 16 = 2 bits; 4 bits lose 0.3 goals, so 2 lose 0.003 · 4². After pruning, 4 bits fit; pruning alone loses 10 goals.
  test("loses four times as much with each bit less", () => {
    expect([bits(1 / 16)("bits")?.drop, bits(1 / 16)("half, bits")?.drop]).toEqual([
      expect.closeTo(0.048, 9),
      expect.closeTo(0.1 + 0.003, 9),
    ]);
  });

  // 2 bits lose 0.08, so 4 bits 0.08 / 4² = 0.005.
  test("is predicted from its measured drop after a trial without pruning", () => {
    const predict = bits(1 / 16, { bits: { size: 62.5, drop: 0.08 } });
    expect(predict("half, bits")?.drop).toBeCloseTo(0.1 + 0.005, 9);
  });

  test("is predicted from a tenth of the goal if its trial lost nothing", () => {
    const predict = bits(1 / 16, { bits: { size: 62.5, drop: -0.1 } });
    expect(predict("half, bits")?.drop).toBeCloseTo(0.1 + 0.001 / 16, 9);
  });

  test("is predicted separately with and without training", () => {
    const learn = offer("learn", "healing", { recovery: 0.9, hasTraining: true });
    const offers = [offer("bits", "numbers", { bytes: 1000 / 16, isTrainable: true }), learn];
    expect(forecast(offers)("bits, learn")?.drop).toBeCloseTo(0.0048, 9);
    const predict = forecast(offers, { "bits, learn": { size: 62.5, drop: 0.002 } });
    expect(predict("bits")?.drop).toBeCloseTo(0.048, 9);
  });

  test("uses at most 8 bits, and less than the target size if they fit", () => {
    // Room for 0.2 · 32 / 0.5 = 12.8 bits: 1000 · 0.5 · 8 / 32.
    expect(bits(0.2)("half, bits")?.size).toBeCloseTo(125, 9);
  });

  test("uses at least 2 bits, for which a small size can require pruning", () => {
    expect(bits(1 / 20)("bits")).toBeUndefined();
    expect(bits(1 / 20)("half, bits")?.size).toBeCloseTo(50, 9);
    expect(bits(1 / 40)("half, bits")).toBeUndefined();
  });
});

describe("bytes of a format besides its weights", () => {
  const codes = [offer("codes", "numbers", { sizeShare: 0.25, fixedShare: 0.05 })];
  const bits = [offer("bits", "numbers", { bytes: 100, fixedShare: 0.05 })];

  // 0.05 + 0.5 · (0.25 − 0.05).
  test("do not shrink if the model is pruned", () => {
    expect(forecast(codes)("half, codes")?.size).toBeCloseTo(150, 9);
  });

  // (0.17 − 0.05) / (0.25 − 0.05) = 0.6.
  test("are excluded from the measured effect of pruning", () => {
    const predict = forecast(codes, { codes: { size: 250, drop: 0 }, "half, codes": { size: 170, drop: 0 } });
    expect(predict("half")?.size).toBeCloseTo(600, 9);
  });

  test("are fewer than the bytes of the file, whatever was estimated", () => {
    const predict = forecast(codes, { codes: { size: 50, drop: 0 } });
    expect(predict("half, codes")?.size).toBeCloseTo(45 + 0.5 * 5, 9);
  });

  // (0.1 − 0.05) · 32 = 1.6 bits, and 3.2 after pruning. 4 bits lose 0.3 goals, pruning loses 10.
  test("leave fewer bits of a target size, but at least two", () => {
    expect(forecast(bits)("bits")?.drop).toBeCloseTo(0.003 * 4 ** 2, 9);
    expect(forecast(bits)("half, bits")?.drop).toBeCloseTo(0.1 + 0.003 * 4 ** 0.8, 9);
  });

  test("exclude a target size if half of them leave less than two bits", () => {
    expect(forecast([offer("bits", "numbers", { bytes: 100, fixedShare: 0.1 })])("bits")).toBeUndefined();
  });

  test("allow only strong pruning after the target size was out of reach", () => {
    const some = [...bits, offer("nine tenths", "structure", { sizeShare: 0.9 })];
    expect(forecast(some)("nine tenths, bits")).toBeDefined();
    const predict = forecast(some, { bits: undefined });
    expect(predict("nine tenths, bits")).toBeUndefined();
    expect(predict("half, bits")).toBeDefined();
  });

  test("predict nothing after a candidate failed in training", () => {
    const learn = offer("learn", "healing", { recovery: 0.9, hasTraining: true });
    const third = offer("third", "structure", { sizeShare: 0.3 });
    const predict = forecast([...bits, third, learn], { "third, learn, bits": undefined });
    expect(predict("half, bits")).toBeDefined();
  });
});

describe("higher-precision fallback", () => {
  const codes = [offer("codes", "numbers", { sizeShare: 0.25, fallsBack: true })];
  const tried = (drop: number) => forecast(codes, { codes: { size: 200, speed: 2, drop } });

  test("is predicted only if the candidate without it was tried and missed the goal", () => {
    expect(forecast(codes)("codes, sensitive layers at higher precision")).toBeUndefined();
    expect(tried(goal)("codes, sensitive layers at higher precision")).toBeUndefined();
    expect(tried(1.1 * goal)("codes, sensitive layers at higher precision")).toBeDefined();
    expect(tried(0.04)("half, codes, sensitive layers at higher precision")).toBeUndefined();
  });

  // r = 1 − 0.01 / 0.04 = 3/4 of the error must be removed, so 9/16 of the bytes double.
  test("meets the goal with r² more bytes, at the same speed", () => {
    expect(tried(0.04)("codes, sensitive layers at higher precision")).toEqual({ size: 312.5, speed: 2, drop: goal });
  });

  test("does not affect the prediction of its format", () => {
    const predict = forecast(codes, { "codes, sensitive layers at higher precision": { size: 500, drop: 0.01 } });
    expect(predict("codes")).toEqual(forecast(codes)("codes"));
  });
});

describe("a family of formats with increasing losses", () => {
  // Bits are proportional to the logarithm of the loss: 4, 3 and 2 of 32.
  const family = [
    ["mild", 0.125, 0.1],
    ["usual", 0.09375, 1],
    ["strong", 0.0625, 10],
  ] as const;
  const offers = family.map(([name, share, relativeLoss]) =>
    offer(name, "numbers", { family: "codes", sizeShare: share, relativeLoss }),
  );

  test("has drops in proportion before any format is tried", () => {
    const predict = forecast(offers);
    expect(family.map(([name]) => predict(name)?.drop)).toEqual(
      [0.0003, 0.003, 0.03].map((drop) => expect.closeTo(drop, 9)),
    );
  });

  test("follows the nearest format that was tried, in bytes and drop", () => {
    const predict = forecast(offers, { usual: { size: 2 * 93.75, drop: 0.02 } });
    expect(predict("mild")).toMatchObject({ size: expect.closeTo(250, 9), drop: expect.closeTo(0.002, 9) });
    expect(predict("strong")).toMatchObject({ size: expect.closeTo(125, 9), drop: expect.closeTo(0.2, 9) });
    expect(predict("half, mild")?.size).toBeCloseTo(125, 9);
  });

  test("is interpolated between two tried formats: √(0.002 · 0.008)", () => {
    const predict = forecast(offers, { mild: { size: 125, drop: 0.002 }, strong: { size: 60, drop: 0.008 } });
    expect(predict("usual")?.drop).toBeCloseTo(0.004, 9);
  });

  test("is predicted from a tenth of the goal if a format lost nothing", () => {
    const predict = forecast(offers, { usual: { size: 94, drop: -0.01 } });
    expect(predict("strong")?.drop).toBeCloseTo(0.01, 9);
  });

  test("is not excluded if another of its formats failed", () => {
    expect(forecast(offers, { strong: undefined })("mild")).toBeDefined();
  });
});
