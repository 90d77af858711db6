import { describe, expect, test } from "vitest";
import { combinationsOf, type Offer, recipeOf } from "./combinations.ts";
import { Forecast } from "./forecast.ts";

const offer = (name: string, kind: Offer["kind"], more: Partial<Offer> = {}): Offer => ({
  name,
  kind,
  family: name,
  options: {},
  runs: 1,
  pass: name,
  ...more,
});

const cut = offer("cut", "structure", { left: 0.5 });
const fit = offer("fit", "healing", { heals: 0.5 });
const learn = offer("learn", "healing", { heals: 0.9, trains: true, runs: 10 });
const codes = offer("codes", "numbers", { left: 0.25, spares: true });
const palettes = offer("palettes", "numbers", { left: 0.2, isTrainable: true });
const all = combinationsOf([cut, fit, learn, codes, palettes]);
const named = (name: string) => all.find((one) => one.name === name) ?? expect.fail(name);

describe("combinations", () => {
  test("are a cut, what heals it, a format, and what trains it", () => {
    const names = all.map(({ name }) => name);
    expect(names.slice(0, 3)).toEqual(["codes", "codes, layers spared", "palettes"]);
    expect(names).toContain("cut, fit, learn, palettes, learn");
    expect(new Set(names).size).toBe(names.length);
  });

  test("heal nothing that was not cut, and train no codes", () => {
    const names = all.map(({ name }) => name);
    expect(names.filter((name) => /^(fit|learn)/.test(name) || name.includes("codes, learn"))).toEqual([]);
  });

  test("with a format that needs training have it trained alone", () => {
    const few = combinationsOf([learn, offer("few bits", "numbers", { isTrainable: true, needsTraining: true })]);
    expect(few.map(({ name }) => name)).toEqual(["few bits, learn"]);
  });

  test("are judged at their end only", () => {
    const { steps } = recipeOf(named("cut, fit, codes"));
    expect(steps.map((step) => ("judge" in step ? step.judge : undefined))).toEqual([false, false, undefined]);
    const spared = recipeOf(named("cut, fit, codes, layers spared"));
    expect(spared.steps.map((step) => ("judge" in step ? step.judge : undefined))).toEqual([false, false, "spare"]);
  });
});

describe("what to expect of palettes that are trained", () => {
  const original = { bytes: 1000, brotli: undefined, speed: 1, drop: 0 };

  test("is known by themselves only, until they have been trained so", () => {
    const forecast = new Forecast(original, 0.01);
    expect(forecast.of(named("palettes, learn"))?.bytes).toBe(200);
    expect(forecast.of(named("cut, palettes, learn"))).toBeUndefined();
    forecast.add({ combination: named("palettes, learn"), figures: { bytes: 250, drop: 0.004 } });
    expect(forecast.of(named("cut, palettes, learn"))?.bytes).toBeCloseTo(125);
  });
});

test("layers are spared where a format was tried and missed the goal, at less than twice the bytes", () => {
  const forecast = new Forecast({ bytes: 1000, drop: 0 }, 0.01);
  const spared = named("codes, layers spared");
  expect(forecast.of(spared)).toBeUndefined();
  forecast.add({ combination: named("codes"), figures: { bytes: 250, drop: 0.02 } });
  expect(forecast.of(spared)?.bytes).toBeCloseTo(1.25 * 250);
  forecast.add({ combination: named("cut, codes"), figures: { bytes: 125, drop: 0.009 } });
  expect(forecast.of(named("cut, codes, layers spared"))).toBeUndefined();
});

describe("bits by layer for a size", () => {
  const forecast = new Forecast({ bytes: 1000, drop: 0 }, 0.01);
  const fitted = combinationsOf([
    cut,
    offer("thin", "structure", { left: 0.2 }),
    offer("bits", "numbers", { left: 1 / 16, fits: true, bytes: 62.5 }),
  ]);
  const of = (name: string) => forecast.of(fitted.find((one) => one.name === name) ?? expect.fail(name));

  test("fill it, and err less where a structure leaves less", () => {
    expect(of("cut, bits")?.bytes).toBeCloseTo(62.5);
    const noise = (drop = Number.NaN, left: number): number => drop - 10 * 0.01 * (1 / left - 1);
    expect(noise(of("cut, bits")?.drop, 0.5)).toBeCloseTo(0.003);
    expect(of("thin, bits")?.bytes).toBeLessThan(62.5);
    expect(noise(of("thin, bits")?.drop, 0.2)).toBeLessThan(0.003);
  });

  test("are in the recipe as bytes of the file", () => {
    const [one] = fitted.filter(({ name }) => name === "bits");
    expect(recipeOf(one ?? expect.fail()).steps).toEqual([{ id: "bits", options: {}, bytes: 62.5 }]);
  });
});
