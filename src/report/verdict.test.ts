import { expect, test } from "vitest";
import type { Verdict } from "../evaluate/index.ts";
import { exampleRun } from "./run.examples.ts";
import { goalSentence, verdictSentence } from "./verdict.ts";

const open: Verdict = {
  verdict: "not shown",
  met: true,
  drop: { value: 0.003, low: -0.004, high: 0.011, count: 667 },
  samples: 900,
};

test("the samples that would show a goal are those that judge; of the whole part more are needed where some are set aside", () => {
  const said = (choosing?: number) => verdictSentence({ maxDrop: 0.01 }, open, "share", choosing);
  const goal = "The goal of losing at most 1.0 points is kept by the estimate, not yet shown";
  expect(said()).toBe(`${goal}: about 900 samples would show it.`);
  expect(said(333)).toBe(`${goal}: about 900 samples to judge by would show it, of 1,350 in all.`);
});

test("the sentence of a run counts what the run set aside", () => {
  const run = { ...exampleRun, data: { ...exampleRun.data, choosing: 500 } };
  expect(goalSentence(run)).toMatch(/samples to judge by would show it, of [\d,]+ in all\.$/);
});
