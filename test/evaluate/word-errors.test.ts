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
