import { expect, test } from "vitest";
import type { Likeness, Verdict } from "../evaluate/index.ts";
import { exampleRun } from "./run.examples.ts";
import { accuracySentence, goalSentence, verdictSentence } from "./verdict.ts";

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

test("where samples were few, the figure says what made-up inputs say", () => {
  const said = (likeness: Likeness | string | undefined) => {
    const variants = exampleRun.variants.map((variant) => ({
      ...variant,
      ...(likeness === undefined ? {} : { likeness }),
    }));
    return accuracySentence({ ...exampleRun, variants });
  };
  const figure = said(undefined);
  expect(said({ samples: 32, signalToNoise: 40, lost: undefined })).toBe(
    `${figure} The samples are few; on 32 made-up inputs it still does what the original does.`,
  );
  expect(said({ samples: 32, signalToNoise: -1, lost: "on made-up inputs all is lost" })).toContain(
    "few, and on made-up",
  );
  expect(said("it draws random numbers")).toContain("cannot be asked: it draws random numbers.");
});
