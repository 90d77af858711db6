/** Which weights are best, and when there is an evaluation. */
import { expect, test } from "vitest";
import { memory } from "../data/index.ts";
import { accuracy } from "../evaluate/index.ts";
import { float32 } from "../tensor/dense.ts";
import { startCounters } from "./counters.ts";
import { countEvaluation } from "./evaluating.ts";
import type { Validation } from "./plan.ts";

const data = memory("one", { x: float32([1, 1], [0]) });
const byLoss: Validation = { data, metric: undefined, every: undefined, patience: undefined };

function bestOf(validation: Validation, figures: readonly number[]) {
  const counters = startCounters();
  for (const figure of figures) {
    countEvaluation(counters, validation, figure);
    counters.steps++;
  }
  return [counters.best?.step, counters.worse];
}

test("the least loss is best, the greatest accuracy; of equal ones the first", () => {
  expect(bestOf(byLoss, [3, 1, 2, 1])).toEqual([1, 2]);
  expect(bestOf({ ...byLoss, metric: accuracy() }, [0.3, 0.1, 0.5, 0.5])).toEqual([2, 1]);
});

test("a number is better than none, and infinity than no number", () => {
  const { NaN: none, POSITIVE_INFINITY: endless } = Number;
  expect(bestOf(byLoss, [none, none, 4, none])).toEqual([2, 1]);
  expect(bestOf(byLoss, [none, endless, 4])).toEqual([2, 0]);
});
