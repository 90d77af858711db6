import { expect, test } from "vitest";
import { zeros } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { agreement } from "../../runtime/metrics/comparison-metrics.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { recipeFrom } from "../recipe/check-recipe.ts";
import { openSteps } from "../recipe/pass-steps.ts";
import { announceDuration, durationText, estimateStepSeconds } from "./time-estimate.ts";

const data = memory("train", { label: zeros("int64", [3000]) });
const task = { train: data, calibrate: memory("calibrate", { label: zeros("int64", [500]) }), metric: accuracy() };
const steps = await openSteps(
  recipeFrom({
    steps: [{ prune: { amount: 0.5 } }, { train: { epochs: 4 } }, { quantize: { scheme: "static", samples: 100 } }],
  }),
);

test("counts an evaluation per step, five runs per training sample, and the runs of a calibration", async () => {
  const runs = quantize.runsPerSample?.({ scheme: "static" }) ?? 0;
  expect(runs).toBeGreaterThan(1);
  // 10 ms per sample: 3 × 10 s of evaluation, 4 × 3,000 × 50 ms of training, and of calibration `runs` on 100 samples.
  expect(estimateStepSeconds(steps, { seconds: 10, samples: 1000 }, task)).toBeCloseTo(30 + 600 + runs);
  expect(estimateStepSeconds(steps, { seconds: 10, samples: 1000 }, { ...task, metric: agreement() })).toBeCloseTo(
    60 + 600 + runs,
  );
  const byDefault = await openSteps(recipeFrom({ steps: [{ quantize: { scheme: "static" } }] }));
  expect(estimateStepSeconds(byDefault, { seconds: 10, samples: 1000 }, task)).toBeCloseTo(10 + 2 * runs);
});

test("includes the timing, and says that the precision fallback can take longer", async () => {
  const fallback = await openSteps(recipeFrom({ steps: [{ quantize: { scheme: "static" }, judge: "fallback" }] }));
  expect(durationText(fallback, { seconds: 0.1, samples: 1000 }, task)).toBeUndefined();
  expect(durationText(fallback, { seconds: 1, samples: 1000 }, task, 60 * 60)).toBe(
    "about 40 seconds: 1 step evaluated on 1,000 samples; longer if layers need higher precision",
  );
});

test("prints the duration in words, and nothing if it is short", () => {
  const textFor = (seconds: number) => durationText(steps, { seconds, samples: 1000 }, task);
  expect(textFor(10)).toBe("about 11 minutes: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(1)).toBe("about 70 seconds: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(300)).toBe("about 5.5 hours: 3 steps, each evaluated on 1,000 samples");
  expect(textFor(0.1)).toBeUndefined();
  const [first] = steps;
  expect(durationText(first === undefined ? [] : [first], { seconds: 60, samples: 10 }, task)).toBe(
    "about 60 seconds: 1 step evaluated on 10 samples",
  );
});

test("counts only the steps that are evaluated, and all rounds of a repeat", async () => {
  const repeat = { repeat: 5, steps: [{ prune: { amount: 0.1 } }, { train: { epochs: { from: 0.6, to: 2 } } }] };
  const rounds = await openSteps(recipeFrom({ steps: [repeat, { remove: {} }] }));
  // 2 × 10 s of evaluation; 1, 1, 1, 2 and 2 epochs of 3,000 × 50 ms.
  expect(estimateStepSeconds(rounds, { seconds: 10, samples: 1000 }, task)).toBeCloseTo(20 + 7 * 150);
  expect(durationText(rounds, { seconds: 10, samples: 1000 }, task)).toBe(
    "about 18 minutes: 11 steps, 2 of them evaluated on 1,000 samples",
  );
});

interface Run {
  readonly samples: number;
  /** Seconds a sample; the first batch takes ten times as long. */
  readonly seconds: number;
}

/** Returns the notices during two runs over the samples, with an hour of other work between them. */
function noticesOf({ samples, seconds }: Run, passes: number, all = samples): string[] {
  const texts: string[] = [];
  let now = 0;
  const context = announceDuration(
    { log: ({ text }) => texts.push(text), progress: (_done: number, _total?: number) => {} },
    all,
    passes,
    () => now,
  );
  for (let run = 0; run < 2; run++, now += 3600) {
    for (let from = 0; from < samples; from += 64) {
      const done = Math.min(samples, from + 64);
      now += (from === 0 ? 10 : 1) * (done - from) * seconds;
      context.progress(done, samples);
    }
  }
  return texts;
}

test("logs the time of a long evaluation once, from warm batches, with advice", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.025 }, 2)).toEqual([
    "evaluation on all 3,392 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("estimates the time of all samples if some are run", () => {
  expect(noticesOf({ samples: 512, seconds: 0.01 }, 2, 10_000)).toEqual([
    "evaluation on all 10,000 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("logs nothing for a short evaluation", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.001 }, 2)).toEqual([]);
});

test("ignores the time between two runs", () => {
  expect(noticesOf({ samples: 65, seconds: 0.02 }, 2)).toEqual([]);
  expect(noticesOf({ samples: 300, seconds: 0.0001 }, 2)).toEqual([]);
});
