import { expect, test } from "vitest";
import { zeros } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { agreement } from "../../runtime/metrics/comparison-metrics.ts";
import { accuracy } from "../../runtime/metrics/metrics.ts";
import { recipeFrom } from "../recipe/check-recipe.ts";
import { stepsOf } from "../recipe/pass-steps.ts";
import { durationText, stepSeconds } from "./time-estimate.ts";

const data = memory("train", { label: zeros("int64", [3000]) });
const task = { train: data, metric: accuracy() };
const steps = stepsOf(
  recipeFrom({
    steps: [{ prune: { amount: 0.5 } }, { train: { epochs: 4 } }, { quantize: { scheme: "static", samples: 100 } }],
  }),
);

test("counts an evaluation per step, three runs per training sample, one per calibration sample", () => {
  // 10 ms per sample: 3 × 10 s of evaluation, 4 × 3,000 × 30 ms of training, 100 × 10 ms of calibration.
  expect(stepSeconds(steps, { seconds: 10, samples: 1000 }, task)).toBeCloseTo(30 + 360 + 1);
  expect(stepSeconds(steps, { seconds: 10, samples: 1000 }, { ...task, metric: agreement() })).toBeCloseTo(60 + 361);
});

test("prints the duration in words, and nothing if it is short", () => {
  const textFor = (seconds: number) => durationText(steps, { seconds, samples: 1000 }, task);
  expect(textFor(10)).toBe("about 7 minutes: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(1)).toBe("about 40 seconds: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(300)).toBe("about 3.3 hours: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(0.1)).toBeUndefined();
  const [first] = steps;
  expect(durationText(first === undefined ? [] : [first], { seconds: 60, samples: 10 }, task)).toBe(
    "about 60 seconds: 1 step evaluated on 10 samples",
  );
});

test("counts only the steps that are evaluated, and all rounds of a repeat", () => {
  const repeat = { repeat: 5, steps: [{ prune: { amount: 0.1 } }, { train: { epochs: { from: 0.6, to: 2 } } }] };
  const rounds = stepsOf(recipeFrom({ steps: [repeat, { remove: {} }] }));
  // 2 × 10 s of evaluation; 1, 1, 1, 2 and 2 epochs of 3,000 × 30 ms.
  expect(stepSeconds(rounds, { seconds: 10, samples: 1000 }, task)).toBeCloseTo(20 + 7 * 90);
  expect(durationText(rounds, { seconds: 10, samples: 1000 }, task)).toBe(
    "about 11 minutes: 11 steps, 2 of them evaluated on 1,000 samples",
  );
});
