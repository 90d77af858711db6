/** Tests the word error rate of transcripts. */
import { expect, test } from "vitest";
import type { Batch } from "../../src/core/tensor/types.ts";
import { compareRows } from "../../src/judge/compare/compare.ts";
import { transcriptColumn, wordErrorRate } from "../../src/runtime/metrics/word-errors.ts";

const batch = (...texts: string[]): Batch => ({
  [transcriptColumn]: { type: "string", dims: [texts.length], data: texts },
});
const rateOf = (reference: string, text: string): number => {
  const metric = wordErrorRate("labels");
  return metric.reduce(metric.rows(batch(text), batch(reference)));
};

test("counts substitutions, deletions and insertions of words, and neither case nor punctuation", () => {
  expect(rateOf("The quick brown fox", "the quick, brown fox!")).toBe(0);
  expect(rateOf("the quick brown fox", "the quack brown fox")).toBe(1 / 4);
  expect(rateOf("the quick brown fox", "the brown fox")).toBe(1 / 4);
  expect(rateOf("the quick brown fox", "oh the quick brown fox jumps")).toBe(2 / 4);
  expect(rateOf("don’t stop", "don't stop")).toBe(0);
  expect(rateOf("naïve Ärzte", "naïve ärzte")).toBe(0);
  expect(rateOf("a b c", "")).toBe(1);
});

test("weighs samples by their words", () => {
  const metric = wordErrorRate("labels");
  const rows = metric.rows(batch("a b c d e f g h i", "x"), batch("a b c d e f g h i", "y"));
  expect(metric.reduce(rows)).toBe(1 / 10);
});

test("takes the original's transcripts as truth, so that the original has no errors and a change is a loss", () => {
  const metric = wordErrorRate("original");
  const original = batch("a b c d", "e f g h");
  const [before, after] = [original, batch("a b c d", "e f g x")].map((texts) => metric.rows(texts, original));
  const comparison = compareRows(metric, before ?? new Float64Array(), after ?? new Float64Array());
  const { original: reference, candidate, difference } = comparison;
  expect([reference.value, candidate.value, difference.value]).toEqual([0, 1 / 8, 1 / 8]);
  expect(difference.low).toBeGreaterThanOrEqual(0);
});

test("few words without a changed one do not show that none changes: the interval is that of independent words", () => {
  const boundFor = (words: number): number => {
    const metric = wordErrorRate("original");
    const texts = batch(...Array.from({ length: 20 }, () => "a ".repeat(words / 20)));
    const rows = metric.rows(texts, texts);
    const { value, low, high } = compareRows(metric, rows, rows).difference;
    expect([value, low]).toEqual([0, 0]);
    return high;
  };
  // Wilson's bound for no success in n trials is z² / (n + z²).
  for (const words of [20, 100, 1000]) expect(boundFor(words)).toBeCloseTo(3.8415 / (words + 3.8415), 4);
});

test("errors in few utterances have the wider interval of resampled utterances", () => {
  const metric = wordErrorRate("labels");
  const truth = batch(...Array.from({ length: 20 }, () => "a b c d e f g h i j"));
  const before = metric.rows(truth, truth);
  const after = metric.rows(
    batch(...Array.from({ length: 20 }, (_, at) => (at === 0 ? "" : "a b c d e f g h i j"))),
    truth,
  );
  // Ten independent errors of 200 words would have 2.7 to 9.0 %.
  expect(compareRows(metric, before, after).difference.high).toBeGreaterThan(0.12);
});
