import { expect, test } from "vitest";
import { createFinder, offer } from "../../test/search/combination.ts";
import { combineOffers } from "./combinations.ts";
import { WorkEstimate } from "./work-estimate.ts";

const codes = { pass: "quantize" };
const all = combineOffers([offer("short", "numbers", codes), offer("long", "numbers", { ...codes, runs: 100_000 })]);
const step = { id: "quantize", name: "quantize", options: {}, changes: [], misses: [], history: undefined };
const named = createFinder(all);
// A run of a sample takes 10 ms. An evaluation takes 100 samples and an overhead of 200 runs.
const work = () => new WorkEstimate({ samples: 100, seconds: 1 });

test("estimates the time of an untried pass from the original's runs", () => {
  expect(work().secondsOf(named("short"))).toBeCloseTo(0.01 * (100 + 200 + 1), 9);
  expect(work().secondsOf(named("long"))).toBeCloseTo(0.01 * (100 + 200 + 100_000), 9);
});

test("estimates the time of a tried pass and of the evaluation from their measured times", () => {
  const plain = work();
  plain.add(named("short"), [{ ...step, seconds: 2 }], 3);
  // 3 − 2 seconds were the evaluation: with the original (1 + 1) / (100 + 300) seconds per run, for 300 runs.
  expect(plain.secondsOf(named("long"))).toBeCloseTo(1.5 + 2 * 100_000, 9);
  expect(plain.runsOf(named("short"))).toBe(300);
});

test("prints how long the search and the whole command take", () => {
  expect(work().timeText(all, 60, 0, 90)).toBe(
    "60 minutes of search at most, about 62 minutes in all with the final evaluation",
  );
  expect(work().timeText([], 1, 14.2, 20)).toBe(
    "1 minute of search at most, of which 14 seconds were spent before the stop, about 70 seconds in all with the final evaluation",
  );
});

test("names a time limit that includes candidates which do not fit", () => {
  expect(work().timeText(all, 60, 0, 0)).not.toContain("too short");
  expect(work().timeText(all, 10, 0, 0)).toMatch(
    /\. 10 minutes are too short for some training-based candidates: `minutes: 70` includes some$/,
  );
  const learned = offer("learned", "healing", { hasTraining: true, runs: 100_000 });
  const trained = combineOffers([offer("palettes", "numbers", { isTrainable: true }), learned]);
  expect(work().timeText(trained, 10, 0, 0)).toMatch(/too short for most training-based candidates/);
});

test("halves the time of a second format of a family, because statistics are stored", () => {
  const family = { ...codes, family: "codes", runs: 10_000 };
  const some = combineOffers([
    offer("cut", "structure"),
    offer("mild", "numbers", { ...family, relativeLoss: 1 }),
    offer("strong", "numbers", { ...family, relativeLoss: 10 }),
  ]);
  const plain = work();
  plain.add(createFinder(some)("mild"), [{ ...step, seconds: 100 }], 103);
  expect(plain.runsOf(createFinder(some)("strong"))).toBe(300 + 5000);
  expect(plain.runsOf(createFinder(some)("cut, strong"))).toBe(300 + 1 + 10_000);
});
