import { describe, expect, test } from "vitest";
import { accuracy, compareRows, crossEntropy, type Likeness, type Verdict } from "../evaluate/index.ts";
import type { StepRecord } from "./data.ts";
import { reportPage } from "./html.ts";
import { reportMarkdown } from "./markdown.ts";
import { exampleRun } from "./run.examples.ts";
import { accuracySentence, goalSentence, openSentence, storageSentence, verdictSentence } from "./verdict.ts";

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

test("where samples were few, the figure says what random inputs say", () => {
  const said = (likeness: Likeness | string | undefined) => {
    const variants = exampleRun.variants.map((variant) => ({
      ...variant,
      ...(likeness === undefined ? {} : { likeness }),
    }));
    return accuracySentence({ ...exampleRun, variants });
  };
  const figure = said(undefined);
  expect(said({ samples: 32, signalToNoise: 40, relativeError: 0.1, lost: undefined })).toBe(
    `${figure} The samples are few; on 32 random inputs it still does what the original does.`,
  );
  expect(said({ samples: 32, signalToNoise: -1, relativeError: 0.1, lost: "on random inputs all is lost" })).toContain(
    "few, and on random",
  );
  expect(said("it draws random numbers")).toContain("was possible: it draws random numbers.");
});

test("weights of fewer bits than files hold them in are said to be so, above all else in the report", () => {
  const [step] = exampleRun.variants[0]?.steps ?? [];
  if (step === undefined) throw new Error("The example has no step.");
  const rounded = (bits: number) => ({ ...step, id: "fake-quantize", options: { bits } });
  const quantized = (scheme: string) => ({ ...step, id: "quantize", options: { scheme, bits: 8 } });
  const run = (...steps: readonly StepRecord[]) => ({
    ...exampleRun,
    variants: exampleRun.variants.map((variant) => ({ ...variant, steps })),
  });
  const coded = "Weights were rounded to the values of 4 bits, and are stored in 8: a byte each.";
  const four = run(rounded(4), { ...step, id: "train" }, quantized("static"));
  expect(storageSentence(four)).toBe(coded);
  expect(reportPage(four)).toContain(coded);
  expect(reportMarkdown(four)).toContain(coded);
  expect(storageSentence(run(rounded(4)))).toBe(
    "Weights were rounded to the values of 4 bits, and are stored as floats.",
  );
  expect(storageSentence(run(rounded(8), quantized("static")))).toBeUndefined();
  expect(storageSentence(run(quantized("static")))).toBeUndefined();
  expect(storageSentence({ ...four, chosen: undefined })).toBeUndefined();
});

/** So many samples, of which the candidate loses some that the original has right, and gains others. */
function compared(count: number, lost: number, gained: number) {
  const original = Float64Array.from({ length: count }, (_, sample) => Number(sample >= gained));
  const candidate = Float64Array.from({ length: count }, (_, sample) => Number(sample < count - lost));
  return compareRows(accuracy(), original, candidate);
}

describe("of a result that no goal judged it is said what the samples leave open", () => {
  test("how many would tell a loss that may be chance", () => {
    const found = openSentence(compared(60, 3, 1));
    expect(found).toMatch(
      /^60 samples do not show that nothing is lost \(1\.0 points at most\): about ([\d,]+) samples would tell the loss they estimate from chance\.$/,
    );
    // N = 3.84 d / m², of 4 in 60 that are disputed, and a loss of 2 in 60.
    expect(found).toContain(`about ${Math.ceil((3.84 * (4 / 60)) / (2 / 60) ** 2)} samples`);
  });

  test("how many would show a point at most, where none was lost on these", () => {
    expect(openSentence(compared(60, 0, 0))).toMatch(
      /^60 samples do not show that nothing is lost \(1\.0 points at most\): about \d+ samples would show it\.$/,
    );
  });

  test("nothing where it is shown, or a loss is", () => {
    expect(openSentence(compared(2000, 1, 1))).toBeUndefined();
    expect(openSentence(compared(500, 60, 2))).toBeUndefined();
  });

  test("nothing of a result that is better, though that may be luck", () => {
    expect(openSentence(compared(60, 1, 1))).toBeDefined();
    expect(openSentence(compared(60, 1, 3))).toBeUndefined();
  });

  test("of a figure without a natural size where there seems to be a loss alone", () => {
    const original = Float64Array.of(0.1, 0.4, 0.2, 0.3);
    const worse = openSentence(compareRows(crossEntropy(), original, Float64Array.of(0.3, 0.35, 0.4, 0.25)));
    expect(worse).toMatch(/^4 samples do not show that nothing is lost: about \d+ samples would tell/);
    const better = compareRows(crossEntropy(), original, Float64Array.of(0.05, 0.45, 0.1, 0.25));
    expect(openSentence(better)).toBeUndefined();
  });
});
