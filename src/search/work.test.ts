import { expect, test } from "vitest";
import { namedIn, offer } from "../../test/search/combination.ts";
import { combinationsOf } from "./combinations.ts";
import { Work } from "./work.ts";

const all = combinationsOf([offer("short", "numbers"), offer("long", "numbers", { runs: 100_000 })]);
const named = namedIn(all);
// A run of a sample takes 10 ms; all are judged on 100, beside 200 runs of overhead.
const work = () => new Work({ samples: 100, seconds: 1 });

test("what was not tried takes as long as the original's runs", () => {
  expect(work().secondsOf(named("short"))).toBeCloseTo(0.01 * (100 + 200 + 1), 9);
  expect(work().secondsOf(named("long"))).toBeCloseTo(0.01 * (100 + 200 + 100_000), 9);
});

test("once its pass was seen, as long as that took for a run", () => {
  const known = work();
  const [step] = [{ seconds: 2 }] as unknown as Parameters<Work["add"]>[1];
  known.add(named("short"), step === undefined ? [] : [step], 3);
  expect(known.runsOf(named("short"))).toBe(300);
  expect(known.runsOf(named("long"))).toBe(100_300);
});

test("combinations that take more than half of the time are counted, with the minutes that some of them need", () => {
  expect(work().timeText(all, 60, 0)).toBe("60 minutes at most, then the best are judged and timed");
  expect(work().timeText(all, 10, 0)).toBe(
    "10 minutes at most, then the best are judged and timed. 1 of 2 combinations, those that train longest, would take more than half of the time: `minutes: 70` tries some of them, too",
  );
});

test("after a stop, what was spent before", () => {
  expect(work().timeText([], 1, 14.2)).toBe(
    "1 minute at most, of which 14 seconds were spent before the stop, then the best are judged and timed",
  );
});
