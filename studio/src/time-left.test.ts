import { expect, test } from "vitest";
import { initialSettings } from "./settings/presets.ts";
import { RunClock, type StageSeconds } from "./time-left.ts";

type Stage = readonly [name: string, seconds: number, steps?: number | undefined];

/** Stages of a run that prunes, trains and quantizes, as `runRecipe` reports them. @param factor on the seconds of a small network. */
const trainedRun = (factor: number): readonly Stage[] => {
  const stages: readonly Stage[] = [
    ["divide the samples", 0.05],
    ["original", 0.13, 8],
    ["step 1 of 3: prune", 0.7],
    ["step 1 of 3: evaluate", 0.1, 8],
    ["step 2 of 3: recover", 10.7, 100],
    ["step 2 of 3: evaluate", 0.05, 8],
    ["step 3 of 3: quantize", 0.4, 10],
    ["step 3 of 3: evaluate", 0.06, 8],
    ["timing the finalists", 0.9, 15],
    ["measure the download", 0.4],
  ];
  return stages.map(([name, seconds, steps]) => [name, factor * seconds, steps]);
};

const trained = { ...initialSettings("channels"), isTrained: true };

/** Plays a run. @returns the seconds left in the middle of each stage, by the clock and in truth. */
function play(stages: readonly Stage[], settings = trained, earlier: StageSeconds = new Map()) {
  const clock = new RunClock(settings, true, 0, earlier);
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  const estimates: { stage: string; left: number; truth: number }[] = [];
  let start = 0;
  for (const [stage, seconds, steps = 0] of stages) {
    clock.add({ stage }, start);
    for (let step = 1; step <= steps; step++) {
      const now = start + (seconds * step) / steps;
      clock.add({ stage, done: step, total: steps }, now);
      if (step === Math.ceil(steps / 2)) estimates.push({ stage, left: clock.secondsLeft(now), truth: total - now });
    }
    start += seconds;
  }
  return { estimates, clock, total };
}

test.each([0.5, 1, 8, 40])(
  "the time left is true within 1.5 × after the first stages, if all stages take %s × as long",
  (factor) => {
    const { estimates } = play(trainedRun(factor));
    for (const { stage, left, truth } of estimates.filter((_, index) => index > 1 && index < 4)) {
      expect(left / truth, stage).toBeGreaterThan(1 / 1.5);
      expect(left / truth, stage).toBeLessThan(1.5);
    }
  },
);

test("a second run of the technique is estimated by the first one before it begins", () => {
  const stages = trainedRun(8).map(
    ([name, seconds, steps]): Stage => [name, name.includes("prune") ? 9 * seconds : seconds, steps],
  );
  const { clock, total } = play(stages);
  const { expectedSeconds } = new RunClock(trained, true, 0, clock.end(total));
  expect(Math.abs(expectedSeconds / total - 1)).toBeLessThan(0.05);
});

test("a stage that takes longer than expected never has a negative time left", () => {
  const clock = new RunClock(trained, true, 0, new Map());
  clock.add({ stage: "step 2 of 3: recover", done: 1, total: 100 }, 1);
  clock.add({ stage: "step 2 of 3: recover", done: 99, total: 100 }, 2);
  expect(clock.secondsLeft(1000)).toBeGreaterThanOrEqual(0);
});

test("the time of a search is its limit and the evaluation of the best candidates", () => {
  const search = { ...initialSettings("search"), amount: 5 };
  const clock = new RunClock(search, true, 0, new Map([["original", 10]]));
  expect(clock.expectedSeconds).toBeCloseTo(300 + 0.9 + 40, 0);
  clock.add({ stage: "original" }, 1);
  expect(clock.secondsLeft(100)).toBeLessThan(clock.expectedSeconds);
});
