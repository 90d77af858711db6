import { expect, test } from "vitest";
import { namedIn, offer } from "../../test/search/combination.ts";
import { combinationsOf } from "./combinations.ts";
import { Work } from "./work.ts";

const codes = { pass: "quantize" };
const all = combinationsOf([offer("short", "numbers", codes), offer("long", "numbers", { ...codes, runs: 100_000 })]);
const step = { id: "quantize", name: "quantize", options: {}, changes: [], misses: [], history: undefined };
const named = namedIn(all);
// A run of a sample takes 10 ms; all are judged on 100, beside 200 runs of overhead.
const work = () => new Work({ samples: 100, seconds: 1 });

test("what was not tried takes as long as the original's runs", () => {
  expect(work().secondsOf(named("short"))).toBeCloseTo(0.01 * (100 + 200 + 1), 9);
  expect(work().secondsOf(named("long"))).toBeCloseTo(0.01 * (100 + 200 + 100_000), 9);
});

test("once its pass was seen, as many seconds a run as that took; judging as many as it took beside", () => {
  const known = work();
  known.add(named("short"), [{ ...step, seconds: 2 }], 3);
  // 3 − 2 seconds were no step: with the original (1 + 1) / (100 + 300) seconds a run, and 300 of them.
  expect(known.secondsOf(named("long"))).toBeCloseTo(1.5 + 2 * 100_000, 9);
  expect(known.runsOf(named("short"))).toBe(300);
});

test("combinations that take more than half of the time are counted, with the minutes that some of them need", () => {
  expect(work().timeText(all, 60, 0)).toBe("60 minutes at most, then the best are judged and timed");
  expect(work().timeText(all, 10, 0)).toBe(
    "10 minutes at most, then the best are judged and timed. That is too short for 1 of 2 candidates, which train longest: `minutes: 70` includes some",
  );
});

test("after a stop, what was spent before", () => {
  expect(work().timeText([], 1, 14.2)).toBe(
    "1 minute at most, of which 14 seconds were spent before the stop, then the best are judged and timed",
  );
});
