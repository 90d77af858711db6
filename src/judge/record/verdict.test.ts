import { describe, expect, test } from "vitest";
import { exampleRun } from "../../../test/app/report/example-run.ts";
import { choiceSentence } from "../../app/report/choice.ts";
import { reportMarkdown } from "../../app/report/markdown.ts";
import { escapeMarkdown } from "../../app/report/markdown-text.ts";
import { reportPage } from "../../app/report/report-page.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { agreement } from "../../runtime/metrics/comparison-metrics.ts";
import { cosine } from "../../runtime/metrics/embedding.ts";
import { unsteadyNote } from "../../runtime/run/latency.ts";
import { compareRows } from "../compare/compare.ts";
import type { Likeness } from "../compare/compare-function.ts";
import { type Comparison, judge, type Verdict } from "../compare/goal.ts";
import type { Run, StepRecord, Variant } from "./run-record.ts";
import {
  accuracySentence,
  chanceSentence,
  dropWithSearch,
  formatChange,
  gainSentence,
  goalSentence,
  lossText,
  lossWarning,
  markOf,
  noGainText,
  notChosenText,
  outcomeOf,
  outputDifferenceText,
  referenceText,
  searchMissSentence,
  storageSentence,
  verdictSentence,
} from "./verdict.ts";

const open: Verdict = {
  verdict: "undecided",
  met: true,
  drop: { value: 0.003, low: -0.004, high: 0.011, count: 667, confidence: 0.95 },
};

/** Returns a comparison with this drop from 93 %. */
const dropped = (drop: Verdict["drop"]): Comparison => ({
  metric: "accuracy",
  unit: "share",
  better: "higher",
  variance: 0,
  pairs: undefined,
  original: { ...drop, value: 0.93 },
  candidate: { ...drop, value: 0.93 - drop.value },
  difference: { ...drop, value: -drop.value, low: -drop.high, high: -drop.low },
});

describe("the sentence of a goal", () => {
  const sentenceOf = (verdict: Verdict, others: Parameters<typeof verdictSentence>[3] = {}) =>
    verdictSentence({ maxDrop: 0.01 }, verdict, dropped(verdict.drop), others);
  const phraseOf = (verdict: Partial<Verdict>, validation?: number) =>
    sentenceOf({ ...open, ...verdict }, { validation });
  const loss = "Lost 0.3 points of accuracy (95 % interval −1.1 … +0.4 points; goal: lose at most 1.0 points).";
  const undecided = `${loss} The estimate meets the goal; the interval does not exclude a larger loss`;

  const wide = { ...open.drop, low: -0.024, high: 0.037 };
  const adviceFor = (numbers: Parameters<typeof verdictSentence>[3], drop: Verdict["drop"] = wide) =>
    sentenceOf({ ...open, drop }, numbers);

  test("states that the interval reaches beyond the limit if it is narrow", () => {
    expect(phraseOf({})).toBe(`${undecided}. The interval reaches beyond the limit.`);
    expect(adviceFor({ available: 667 }, open.drop)).toBe(`${undecided}. The interval reaches beyond the limit.`);
    expect(adviceFor({ available: 8000 }, open.drop)).toBe(
      `${undecided}. The interval reaches beyond the limit; 7,333 of the 8,000 samples were not used (--samples 8000 uses all).`,
    );
  });

  test("asks for more samples if there are fewer than 30, and states how many", () => {
    const few = (count: number) => ({ ...open.drop, count });
    expect(adviceFor({}, few(3))).toMatch(
      /1\.0 points\)\. 3 samples are too few to decide; at least 100 are needed\.$/,
    );
    expect(adviceFor({}, { ...wide, count: 20 })).toContain(
      "20 samples are too few to decide; at least 190 are needed.",
    );
    expect(phraseOf({ met: false, drop: few(1) })).toContain(
      "; 1 sample is too few to decide; at least 100 are needed",
    );
    expect(adviceFor({ available: 8000 }, few(5))).toContain(
      "5 samples are too few to decide; at least 100 are needed (--samples 100).",
    );
  });

  test("states how many samples narrow the interval to the goal, and whether the loss is close to the limit", () => {
    for (const [value, end] of [
      [-0.004, "."],
      [0.007, "."],
      [0.0099, ", and the loss is close to the limit."],
    ] as const)
      expect(adviceFor({}, { ...wide, value })).toContain(
        `The estimate meets the goal; the interval does not exclude a larger loss. About 6,300 samples would narrow the interval to ±1.0 points, but there are only 667${end}`,
      );
    expect(adviceFor({ validation: 333 })).toContain(
      `. About 9,400 samples would narrow the interval to ±1.0 points, but there are only 1,000.`,
    );
    const run = { ...exampleRun, data: { ...exampleRun.data, validation: 500 } };
    expect(goalSentence(run)).toContain(
      `. About 2,200 samples would narrow the interval to ±1.0 points, but there are only 1,500.`,
    );
  });

  test("states how many samples were not used, and which value of --samples is enough", () => {
    const half = { ...wide, count: 150 };
    expect(adviceFor({ available: 1000, searched: 150 }, half)).toMatch(
      / does not exclude a larger loss\. 700 of the 1,000 samples were not used \(--samples 1000 uses all\)\.$/,
    );
    expect(adviceFor({ available: 50_000, searched: 150 }, half)).toMatch(
      / loss\. 49,700 of the 50,000 samples were not used \(--samples 2800 narrows the interval to ±1\.0 points\)\.$/,
    );
    expect(adviceFor({ available: 300, searched: 150 }, half)).toContain(
      "About 2,800 samples would narrow the interval to ±1.0 points, but there are only 300",
    );
  });

  test("states whether the goal is met, missed or undecided, and what --strict requires", () => {
    expect(phraseOf({ verdict: "kept" })).toBe(`${loss} The goal is met.`);
    expect(phraseOf({ verdict: "lost", met: false })).toBe(`${loss} The goal is missed.`);
    expect(phraseOf({ verdict: "kept", drop: { ...open.drop, confidence: 0.9973 } })).toContain("99.7 % interval");
    expect(phraseOf({ met: false, drop: wide })).toContain(
      "--strict requires the whole interval to meet the goal; about 6,300",
    );
    const beyond = { drop: { value: 0.02, low: -0.004, high: 0.03, count: 667, confidence: 0.95 } };
    expect(phraseOf(beyond)).toBe(
      "Lost 2.0 points of accuracy (95 % interval −3.0 … +0.4 points; goal: lose at most 1.0 points). With 667 samples this could be chance; about 2,000 samples would narrow the interval to ±1.0 points, but there are only 667.",
    );
    expect(phraseOf({ met: false, drop: { ...beyond.drop, low: 0.001 } })).toMatch(
      / −3\.0 … −0\.1 points; .*\. The goal is missed\.$/,
    );
    const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    expect(phraseOf({ drop: { ...open.drop, value: -0.004, low, high } })).toBe(
      "Gained 0.4 points of accuracy (too few samples for an interval; goal: lose at most 1.0 points). The estimate meets the goal; the interval does not exclude a larger loss.",
    );
  });

  test("includes the samples of the search in the required number of samples", () => {
    const drop = { ...wide, count: 500 };
    expect(adviceFor({ searched: 500 }, drop)).toContain(
      "About 9,400 samples would narrow the interval to ±1.0 points, but there are only 1,000",
    );
    expect(adviceFor({ searched: 499 }, drop)).toContain("About 9,400 samples");
    expect(adviceFor({ searched: 300 }, drop)).toContain(
      "About 5,000 samples would narrow the interval to ±1.0 points, but there are only 800",
    );
    const search = { samples: exampleRun.original.estimate.count, apart: true, points: [] };
    expect(goalSentence({ ...exampleRun, search })).toContain("About 2,900 samples");
    expect(goalSentence(exampleRun)).toContain("About 1,500 samples");
  });

  test("states that the result is identical if no layer's output differs", () => {
    const { noise } = exampleRun;
    const layers = (noise?.layers ?? []).map((layer) => ({ ...layer, signalToNoise: undefined }));
    const run: Run = { ...exampleRun, ...(noise && { noise: { ...noise, layers } }) };
    expect(outcomeOf(exampleRun).word).toBe("needs more samples");
    expect(outcomeOf(run)).toEqual({ word: "identical", mood: "good" });
    expect(goalSentence(run)).toMatch(
      /^The result is identical to the original: no layer's output differs on \d+ samples\.$/,
    );
    expect(outcomeOf({ ...run, ...(noise && { noise: { ...noise, layers: [] } }) }).word).toBe("needs more samples");
  });

  test("states in every form of the report that an original at chance shows no loss", () => {
    const atChance = chanceSentence(0.1, 0.125);
    const run = { ...exampleRun, data: { ...exampleRun.data, atChance }, goal: undefined, warnings: [atChance] };
    expect(outcomeOf(run)).toEqual({ word: "original at chance", mood: "doubt" });
    for (const text of [reportPage(run), reportMarkdown(run)]) {
      expect(text).toContain("these samples cannot show what is lost.");
      expect(text).not.toContain("samples show it");
    }
  });
});

test("reports a file of similar size as about as large, with its smaller compressed size", () => {
  const sizePhrase = (bytes: number, brotli: number | undefined): string => {
    const variants = exampleRun.variants.map((one) => ({
      ...one,
      result: one.result && { ...one.result, bytes, brotli },
    }));
    const original = { ...exampleRun.original, bytes: 1_094_554, brotli: 1_012_854 };
    return gainSentence({ ...exampleRun, original, variants, latency: undefined });
  };
  expect(sizePhrase(1_096_000, 143_700)).toBe("About as large (1.10 MB); 7.05 × smaller compressed.");
  expect(sizePhrase(1_094_554, 1_012_000)).toBe("About as large (1.09 MB).");
  expect(sizePhrase(1_094_554, undefined)).toBe("About as large (1.09 MB).");
  expect(sizePhrase(547_277, 900_000)).toBe("2.00 × smaller.");
  expect(sizePhrase(2_189_108, 900_000)).toBe("2.00 × larger.");
});

test("names uncounted export metadata after the gain", () => {
  const metadataPhrase = (metadata?: number): string =>
    gainSentence({ ...exampleRun, original: { ...exampleRun.original, metadata }, latency: undefined });
  const { bytes } = exampleRun.original;
  expect(metadataPhrase(2 * bytes)).toMatch(
    /^7\.86 × smaller\. Not counted: .* MB of the exporter's metadata in the original\.$/,
  );
  expect(metadataPhrase(0.004 * bytes)).toBe("7.86 × smaller.");
  expect(metadataPhrase()).toBe("7.86 × smaller.");
});

test("reports no speed if the machine was too busy", () => {
  const { latency } = exampleRun;
  if (latency === undefined) throw new Error("The example was timed.");
  const run = {
    ...exampleRun,
    latency: { ...latency, unsteady: true },
    warnings: [unsteadyNote("time them: pith bench a b")],
  };
  const models = latency.models.map((one, place) => one && { ...one, processorTime: [4, 3, 0, 2, 1][place] ?? 0 });
  for (const timing of [run.latency, { ...run.latency, models }]) {
    const busy = { ...run, latency: timing };
    expect(gainSentence(busy)).toBe(
      timing === run.latency
        ? "7.86 × smaller. Speed was not measured: the machine was too busy."
        : "7.86 × smaller. The machine was too busy to measure speed, but a run takes 0.25 × the original's processor time.",
    );
    for (const text of [reportPage(busy), reportMarkdown(busy)]) {
      expect(text).toContain("too busy");
      for (const ratio of ["2.20", "1.20", "4.00", "as fast"]) expect(text).not.toContain(ratio);
    }
  }
});

describe("the reason for the kept variant, in every form of the report", () => {
  const { latency } = exampleRun;
  const reason = (choice: Run["choice"], more: Partial<Run> = {}): string => {
    const run = { ...exampleRun, ...more, chosen: choice?.place, ...(choice === undefined ? {} : { choice }) };
    const sentence = choiceSentence(run) ?? "";
    expect(reportPage(run).replaceAll(/<span class="flag">(.*?)<\/span>/g, "$1")).toContain(sentence);
    expect(reportMarkdown(run)).toContain(escapeMarkdown(sentence));
    return sentence.replace(/ ?The same samples chose .*$/, "");
  };

  test("names the criterion: size, goal, force, loss or speed", () => {
    expect(reason({ place: 3, by: "size" })).toBe(
      "prune + train + quantize is the smallest of 4 candidates that is within the goal.",
    );
    expect(reason({ place: 3, by: "size" }, { goal: undefined })).toContain("is the smallest of 4 candidates.");
    expect(reason({ place: 0, by: "only" })).toBe("quantize is the only candidate that is within the goal.");
    expect(reason({ place: 3, by: "force" })).toBe(
      "prune + train + quantize is the smallest, because none is within the goal (--force).",
    );
    expect(reason({ place: 3, by: "loss" })).toBe(
      "prune + train + quantize is the one that lost least, because none is within the goal on the test samples.",
    );
    expect(reason({ place: 0, by: "none allowed" })).toBe(
      "quantize is the fastest, because no candidate within the goal is fast enough (--faster sets the speed).",
    );
    expect(reason({ place: 0, by: "faster" }, { goal: undefined })).toBe(
      "quantize is the most accurate of 4 candidates that is as fast as requested.",
    );
  });

  test("names size and speed, and a smaller, slower variant", () => {
    if (latency === undefined) throw new Error("The example was timed.");
    const times = latency.models.map((one, place) => one && { ...one, processorTime: [4, 1, 0, 2, 15.6][place] ?? 0 });
    const choice = { place: 0, by: "usual", over: 3 } as const;
    const busy = { ...latency, models: times, unsteady: true };
    const kept = "quantize is the smallest of 4 candidates that is within the goal and";
    expect(reason(choice, { latency: busy })).toBe(
      `${kept} close to the original in processor time. Smaller, but not kept: prune + train + quantize (440 kB), which takes 3.90 × the processor time (--for size keeps it).`,
    );
    expect(reason({ place: 0, by: "speed" }, { latency: busy })).toContain(
      "is the lowest in processor time of 4 candidates",
    );
    expect(reason(choice)).toBe(
      `${kept} about as fast as the original. Smaller, but not kept: prune + train + quantize (440 kB), which is 2.20 × as fast (--for size keeps it).`,
    );
    expect(reason({ place: 0, by: "usual" }, { latency: undefined })).toBe(
      "quantize is the smallest of 4 candidates that is within the goal; speed was not measured.",
    );
    expect(reason({ place: 0, by: "usual" }, { latency: { ...latency, unsteady: true } })).toBe(
      "quantize is the smallest of 4 candidates that is within the goal.",
    );
  });

  test("is absent for a single variant, and names the only one that did not fail", () => {
    const [first] = exampleRun.variants;
    const variants = first === undefined ? [] : [first];
    expect(choiceSentence({ ...exampleRun, chosen: 0, variants })).toBeUndefined();
    const [, failed] = exampleRun.variants;
    const two = failed === undefined ? [] : [...variants, failed];
    expect(choiceSentence({ ...exampleRun, chosen: 0, variants: two, choice: { place: 0, by: "only" } })).toBe(
      "quantize is the only candidate that is within the goal.",
    );
  });
});

test("marks only variants within the goal with a tick", () => {
  const goal = { maxDrop: 0.01 };
  const [first] = exampleRun.variants;
  if (first?.verdict === undefined || first.comparison === undefined) throw new Error("The example has a verdict.");
  const { verdict, comparison } = first;
  expect(markOf(first, goal)).toBe("✓");
  const outside = { ...verdict, verdict: "undecided", drop: { ...verdict.drop, value: 0.05 } } as const;
  expect(markOf({ ...first, verdict: outside }, goal)).toBe("?");
  expect(markOf({ ...first, validation: { comparison, verdict: outside } }, goal)).toBe("?");
  expect(markOf({ ...first, verdict: { ...outside, met: false } }, goal)).toBe("✗");
  expect(markOf({ ...first, rejected: "nothing changed" }, goal)).toBe("✗");
  expect(markOf({ ...first, verdict: undefined }, undefined)).toBe("");
});

describe("a candidate that missed the goal on the search samples", () => {
  const goal = { maxDrop: 0.01 };
  const [first = expect.fail()] = exampleRun.variants;
  const { verdict = expect.fail() } = first;
  const { count } = verdict.drop;
  const variant = (drop: number, searched: number): Variant => ({
    ...first,
    verdict: { ...verdict, drop: { ...verdict.drop, value: drop } },
    searched: { drop: searched, samples: count },
  });

  test("is within the goal only if the test samples and all samples together meet it", () => {
    expect(dropWithSearch(variant(0.007, 0.021), goal)).toBeCloseTo(0.014);
    expect(dropWithSearch(variant(0.012, 0.011), goal)).toBe(0.012);
    expect(markOf(variant(0.007, 0.021), goal)).toBe("?");
    expect(notChosenText(variant(0.007, 0.021), goal)).toBe(
      "not chosen: −1.4 points together with the samples of the search",
    );
    expect(markOf(variant(0.001, 0.015), goal)).toBe("✓");
  });

  test("is reported with its drop on the search samples if it is kept", () => {
    const sentence = (found: Variant) =>
      searchMissSentence({ ...exampleRun, goal, chosen: 0, variants: [found, ...exampleRun.variants.slice(1)] });
    expect(sentence(variant(0.001, 0.015))).toBe(
      `quantize missed the goal on the ${count.toLocaleString("en")} samples of the search: −1.5 points.`,
    );
    expect(sentence(variant(0.001, 0.01))).toBeUndefined();
  });

  test("has no joint drop if it met the goal on the search samples", () => {
    expect(dropWithSearch(variant(0.009, -0.01), goal)).toBeUndefined();
    expect(dropWithSearch(first, goal)).toBeUndefined();
    expect(dropWithSearch(variant(0.007, 0.021), undefined)).toBeUndefined();
  });
});

test("states the possible disagreement if all predictions equal the original's", () => {
  const sentenceFor = (count: number, other: number) => {
    const same = new Float64Array(count).fill(1);
    const comparison = compareRows(
      agreement(),
      same,
      same.map((_, index) => Number(index >= other)),
    );
    const variants = exampleRun.variants.map((one) => ({ ...one, comparison }));
    return accuracySentence({ ...exampleRun, variants, goal: undefined });
  };
  expect(sentenceFor(20, 0)).toBe("The result agrees with the original on all 20 samples (95 %: at least 83.9 %).");
  expect(sentenceFor(1000, 20)).toMatch(
    /^Agreement went from 100\.0 % to 98\.0 %: −2\.0 points \(95 % interval −3\.\d … −1\.\d points, /,
  );
});

test("ignores a slight significant difference if the original is its own reference", () => {
  const rows = (drop: number) => Float64Array.from({ length: 50 }, (_, at) => 1 - drop * (1 + (at % 3) / 10));
  const warningFor = (drop: number) => {
    const comparison = compareRows(cosine(), rows(0), rows(drop));
    const goal = { maxDrop: 0.1 };
    return lossWarning(comparison, judge(comparison, goal), goal);
  };
  expect(warningFor(0.001)).toBeUndefined();
  expect(warningFor(0.05)).toMatch(/^cosine is worse \(−0\.05\d+\), which is statistically significant$/);
});

test("states how similar the outputs are if there are few samples", () => {
  const sentenceWith = (likeness: Likeness | string | undefined) => {
    const variants = exampleRun.variants.map((variant) => ({
      ...variant,
      ...(likeness === undefined ? {} : { likeness }),
    }));
    return accuracySentence({ ...exampleRun, variants });
  };
  const figure = sentenceWith(undefined);
  expect(sentenceWith({ samples: 12, signalToNoise: 40, relativeError: 0.1, lost: undefined, ofData: true })).toBe(
    `${figure} There are few samples; their outputs match the original's: signal to noise 40.00 dB (good: an error of 1.0 %).`,
  );
  expect(
    sentenceWith({ samples: 12, signalToNoise: Number.POSITIVE_INFINITY, relativeError: 0, lost: undefined }),
  ).toBe(`${figure} There are few samples; their outputs are equal.`);
  expect(sentenceWith("its output is text")).toBe(`${figure} The outputs were not compared: its output is text.`);
  expect(
    sentenceWith({ samples: 12, signalToNoise: -1, relativeError: 0.1, lost: "on the samples all is lost" }),
  ).toContain("There are few samples, and on the samples");
  const [first, ...rest] = exampleRun.variants;
  if (first?.verdict === undefined) throw new Error("The example has no verdict.");
  const drop = { ...first.verdict.drop, low: 0.128 };
  const lost = {
    ...first,
    verdict: { ...first.verdict, drop },
    likeness: { samples: 32, signalToNoise: 40, relativeError: 0.1, lost: undefined },
  };
  expect(accuracySentence({ ...exampleRun, chosen: 0, variants: [lost, ...rest] })).not.toContain("few samples");
});

test("apartText prints a distance in decibels, in percent or as a share of equal elements", () => {
  const likeness = { samples: 32, signalToNoise: 3.2, relativeError: 0.5, lost: undefined };
  expect(outputDifferenceText(likeness)).toBe("signal to noise 3.200 dB (bad: an error of 69.2 %)");
  expect(outputDifferenceText({ ...likeness, signalToNoise: 30 })).toContain("(good: an error of 3.2 %)");
  expect(outputDifferenceText({ ...likeness, signalToNoise: 29 })).toContain("(fair: an error of 3.5 %)");
  expect(outputDifferenceText({ ...likeness, signalToNoise: 14.9 })).toContain("(bad: an error of 18.0 %)");
  expect(outputDifferenceText({ ...likeness, signalToNoise: Number.NaN })).toBe("signal to noise NaN dB");
  expect(outputDifferenceText({ ...likeness, unmoved: "equal" })).toBe("50.0 % apart");
  expect(outputDifferenceText({ ...likeness, same: 0.992 })).toBe("99.2 % of its elements equal");
});

test("states that weights have fewer bits than their stored form, in every report format", () => {
  const [step] = exampleRun.variants[0]?.steps ?? [];
  if (step === undefined) throw new Error("The example has no step.");
  const changed = (kind: string, ...bits: readonly number[]) => ({
    ...step,
    changes: bits.map((own) => ({ at: "fc", what: "other numbers", kind, bits: own, decidedBy: "global" as const })),
  });
  const rounded = (...bits: readonly number[]) => changed("rounded", ...bits);
  const quantized = changed("quantized", 8);
  const run = (...steps: readonly StepRecord[]) => ({
    ...exampleRun,
    variants: exampleRun.variants.map((variant) => ({ ...variant, steps })),
  });
  const coded = "Weights were rounded to the values of 4 bits, and are stored in 8: a byte each.";
  const four = run(rounded(4), { ...step, id: "train", changes: [] }, quantized);
  expect(storageSentence(four)).toBe(coded);
  expect(reportPage(four)).toContain(coded);
  expect(reportMarkdown(four)).toContain(coded);
  expect(storageSentence(run(rounded(4)))).toBe(
    "Weights were rounded to the values of 4 bits, and are stored as floats.",
  );
  expect(storageSentence(run(rounded(4, 8, 3), quantized))).toBe(
    "Weights were rounded to the values of 3 or 4 bits, and are stored in 8: a byte each.",
  );
  expect(storageSentence(run(rounded(8), quantized))).toBeUndefined();
  expect(storageSentence(run(quantized))).toBeUndefined();
  expect(storageSentence({ ...four, chosen: undefined })).toBeUndefined();
});

/** Compares a candidate that loses some of the original's correct predictions, and gains others. */
function compared(count: number, lost: number, gained: number) {
  const original = Float64Array.from({ length: count }, (_, sample) => Number(sample >= gained));
  const candidate = Float64Array.from({ length: count }, (_, sample) => Number(sample < count - lost));
  return compareRows(accuracy(), original, candidate);
}

describe("the warning about a result that passes", () => {
  const warning = (count: number, lost: number, gained: number, maxDrop = 0.01) => {
    const comparison = compared(count, lost, gained);
    const goal = { maxDrop };
    return lossWarning(comparison, judge(comparison, goal), goal);
  };

  test("states the size of a significant loss within the goal", () => {
    expect(warning(10_000, 12, 2)).toBe("accuracy is slightly worse (−0.1 points), which is statistically significant");
    expect(warning(1000, 45, 5, 0.05)).toBe("accuracy is worse (−4.0 points), which is statistically significant");
  });

  test("states an estimate beyond the goal that is not significant", () => {
    expect(warning(60, 3, 1)).toBe(
      "accuracy is worse by the estimate (−3.3 points; 1.0 points allowed), which is not statistically significant",
    );
  });

  test("is undefined if nothing seems lost", () => {
    expect(warning(2000, 1, 1)).toBeUndefined();
    expect(warning(60, 1, 3)).toBeUndefined();
  });
});

test("a rejection states the metric values, the interval and the allowed drop", () => {
  const comparison = compared(800, 100, 2);
  expect(lossText(comparison, judge(comparison, { maxDrop: 0.01 }), { maxDrop: 0.01 })).toMatch(
    /^accuracy went from 99\.8 % to 87\.5 %: −12\.3 points \(95 % interval −1\d\.\d … −\d+\.\d points, 800 samples\); 1\.0 points allowed$/,
  );
  const even = compared(800, 1, 1);
  const strict = { maxDrop: 0.003, strict: true };
  expect(lossText(even, judge(even, strict), strict)).toMatch(
    /; 0\.3 points allowed, and --strict requires the whole interval to be within that; about [\d,]+ samples would narrow the interval to ±0\.3 points, but there are only 800$/,
  );
});

describe("compared with a reference model", () => {
  test("distanceText states the change with its interval, in the digits of the goal", () => {
    expect(referenceText("big.onnx", compared(800, 100, 2))).toMatch(
      /^compared with big\.onnx: accuracy went from 99\.8 % to 87\.5 %: −12\.3 points \(95 % interval −1\d\.\d … −\d+\.\d points, 800 samples\)$/,
    );
    const goal = { maxDrop: 0.01 };
    for (const only of [0, 1, 100])
      expect(referenceText("big.onnx", compared(800, only, 2), goal)).toContain(
        `: ${formatChange(compared(800, only, 2), goal)} (95 % interval `,
      );
  });

  test("noGainText reports a result without a significant gain", () => {
    expect(noGainText("thin.onnx", compared(800, 100, 2))).toMatch(/^the result is worse than thin\.onnx: accuracy /);
    expect(noGainText("thin.onnx", compared(800, 2, 100))).toBeUndefined();
    expect(noGainText("thin.onnx", compared(800, 10, 12))).toMatch(
      /^a gain over thin\.onnx is undecided: accuracy went from .* \+0\.3 points \(/,
    );
  });

  test("verdictSentence says that a result gained, lost or changed nothing; a metric with better low values rises or falls", () => {
    const sentenceOf = (drop: number, better: Comparison["better"]): string => {
      const estimate = { ...open.drop, value: drop, low: drop - 0.001, high: drop + 0.001 };
      return verdictSentence({ maxDrop: 0.01 }, { ...open, verdict: "kept" }, { ...dropped(estimate), better });
    };
    expect(sentenceOf(0.003, "higher")).toMatch(
      /^Lost 0\.3 points of accuracy \(.* −0\.4 … −0\.2 points; goal: lose at most 1\.0 points\)\. /,
    );
    expect(sentenceOf(-0.003, "higher")).toMatch(
      /^Gained 0\.3 points of accuracy \(.* \+0\.2 … \+0\.4 points; goal: lose /,
    );
    expect(sentenceOf(0, "higher")).toMatch(/^Accuracy is unchanged \(/);
    expect(sentenceOf(0.003, "lower")).toMatch(
      /^Accuracy fell by 0\.3 points \(.*; goal: rise by at most 1\.0 points\)\. /,
    );
    expect(sentenceOf(-0.003, "lower")).toMatch(/^Accuracy rose by 0\.3 points \(/);
  });

  test("verdictSentence names the reference model", () => {
    expect(verdictSentence({ maxDrop: 0.01 }, { ...open, verdict: "kept" }, dropped(open.drop), {}, "big.onnx")).toBe(
      "Compared with big.onnx: lost 0.3 points of accuracy (95 % interval −1.1 … +0.4 points; goal: lose at most 1.0 points). The goal is met.",
    );
  });
});
