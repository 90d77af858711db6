/** Tests the choice of the best weights. */
import { describe, expect, test } from "vitest";
import { float32 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { explainUnchanged, recordEvaluation } from "./evaluation.ts";
import type { Validation } from "./plan.ts";
import { startCounters } from "./training-state.ts";

const data = memory("one", { x: float32([1, 1], [0]) });
const byLoss: Validation = { data, metric: undefined, every: undefined, patience: undefined };

function bestOf(validation: Validation, figures: readonly number[]) {
  const counters = startCounters();
  for (const figure of figures) {
    recordEvaluation(counters, validation, figure);
    counters.steps++;
  }
  return [counters.best?.step, counters.worse];
}

test("selects the lowest loss or the highest accuracy, and the first of equal ones", () => {
  expect(bestOf(byLoss, [3, 1, 2, 1])).toEqual([1, 2]);
  expect(bestOf({ ...byLoss, metric: accuracy() }, [0.3, 0.1, 0.5, 0.5])).toEqual([2, 1]);
});

test("prefers any number to NaN", () => {
  const { NaN: none, POSITIVE_INFINITY: endless } = Number;
  expect(bestOf(byLoss, [none, none, 4, none])).toEqual([2, 1]);
  expect(bestOf(byLoss, [none, endless, 4])).toEqual([2, 0]);
});

describe("stayedText", () => {
  const textFor = (figures: readonly number[], by = "accuracy"): string => {
    const best = { step: 0, figure: figures[0] ?? 0 };
    const unit = by === "accuracy" ? "share" : "";
    const chosen = { samples: 60, by, unit, best, evaluations: figures.length } as const;
    const evaluations = figures.map((figure, step) => ({ step, figure }));
    return explainUnchanged({ samples: 240, chosen }, [
      { epoch: 1, loss: 1, steps: figures.length, seconds: 1, evaluations },
    ]);
  };

  test("suggests a smaller learning rate if training made the weights worse", () => {
    expect(textFor([0.9, 0.8])).toBe(
      "the evaluation was no better than that of the initial weights, which are kept. Try a smaller learning rate",
    );
    expect(textFor([0.9, 0.8, 0.9])).toMatch(/^none of 2 evaluations was better than .* Try a smaller learning rate/);
    expect(textFor([0.2, 0.3], "loss")).toMatch(/Try a smaller learning rate$/);
  });

  test("suggests more steps or a finer metric if evaluations are equal", () => {
    const still = "the evaluations show no difference to that of the initial weights, which are kept. ";
    const more = "Try more steps, or more validation samples";
    expect(textFor([0.8, 0.8, 0.8])).toBe(
      `${still}${more}, or \`metric: "cross-entropy"\`, which resolves smaller differences`,
    );
    expect(textFor([0.3, 0.3], "loss")).toBe(`${still}${more}`);
  });

  test("suggests other validation samples if all are right or all figures are NaN", () => {
    expect(textFor([1, 1])).toContain(
      "The initial weights are right on all 60 validation samples, which the model may have been trained on",
    );
    expect(textFor([1, 0.9])).not.toContain("learning rate");
    expect(textFor([Number.NaN, Number.NaN])).toMatch(/^all 2 evaluations are NaN/);
  });
});
