/** Gradual pruning resumes as in gradual.test.ts with more settings. */
import { test } from "vitest";
import { expectContinued, validation } from "../../../test/train/corners.ts";

test.each([
  { prune: { amount: 0.75, every: 4 }, clip: 0.5, optimizer: "sgd" },
  { prune: { amount: 0.75, every: 4, importance: "movement" }, validation, average: 0.9, accumulate: 2 },
  { prune: { amount: 0.75, every: 4, importance: "movement" }, clip: 0.5, optimizer: "sgd" },
  {
    prune: { threshold: -1e-3, penalty: 1e-4, every: 4, importance: "movement" },
    validation,
    average: 0.9,
    accumulate: 2,
  },
] as const)("resumes with the same bits: $prune", async (settings) => {
  await expectContinued(settings);
});
