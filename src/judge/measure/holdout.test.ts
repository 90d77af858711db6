import { expect, test } from "vitest";
import { accuracy, macroF1 } from "../../runtime/metrics/class-metrics.ts";
import { divideSamples, Holdout } from "./holdout.ts";

test("draws a third of the samples for validation, the others, and always the same for testing", () => {
  const { validation, test: tested } = divideSamples(1000, false) ?? {};
  expect([validation?.length, tested?.length]).toEqual([333, 667]);
  expect(new Set([...(validation ?? []), ...(tested ?? [])]).size).toBe(1000);
  expect(divideSamples(1000, false)).toEqual({ validation, test: tested });
  // Both splits are spread over the samples, which can be sorted by class.
  expect(validation?.filter((sample) => sample < 500).length).toBeGreaterThan(100);
  expect(validation?.filter((sample) => sample >= 500).length).toBeGreaterThan(100);
});

test("uses the first samples for validation if samples follow each other", () => {
  const { validation, test: tested } = divideSamples(90, true) ?? {};
  expect([validation?.at(0), validation?.at(-1), tested?.at(0), tested?.at(-1)]).toEqual([0, 29, 30, 89]);
});

test("does not divide fewer than 90 samples", () => {
  expect(divideSamples(89, false)).toBeUndefined();
  expect(divideSamples(0, false)).toBeUndefined();
});

test("evaluates only its own samples, also with several columns per row", () => {
  const answers = { predicted: Float64Array.of(0, 1, 1, 0), labels: Float64Array.of(0, 1, 0, 0) };
  const right = { metricRows: Float64Array.of(1, 1, 0, 1), answers };
  const holdout = new Holdout(accuracy(), right, Uint32Array.of(1, 2));
  expect(holdout.original.comparison.original).toMatchObject({ value: 0.5, count: 2 });
  expect(holdout.original.answers).toEqual({ predicted: Float64Array.of(1, 1), labels: Float64Array.of(1, 0) });
  const { comparison, agreement } = holdout.compare({
    metricRows: Float64Array.of(0, 1, 1, 0),
    answers: { ...answers, predicted: Float64Array.of(1, 1, 0, 1) },
  });
  expect(comparison).toMatchObject({ candidate: { value: 1 }, difference: { value: 0.5, count: 2 } });
  expect(agreement).toMatchObject({ value: 0.5, count: 2 });
  // Each row has the label and the prediction of a sample, in two columns.
  const pairs = { metricRows: Float64Array.of(0, 0, 1, 1, 0, 1, 0, 0), answers };
  const two = new Holdout(macroF1(), pairs, Uint32Array.of(0, 1));
  expect(two.original.comparison.original).toMatchObject({ value: 1, count: 2 });
});

test("rejects a result without a row for each of its samples", () => {
  const rowsOf = (count: number) => {
    const ones = new Float64Array(count).fill(1);
    return { metricRows: ones, answers: { predicted: ones, labels: ones } };
  };
  const holdout = new Holdout(accuracy(), rowsOf(4), Uint32Array.of(0, 3));
  // Each of these counts lacks the row of sample 3.
  for (const count of [0, 2, 3]) expect(() => holdout.compare(rowsOf(count))).toThrow(RangeError);
  expect(holdout.compare(rowsOf(5)).comparison.candidate).toMatchObject({ value: 1, count: 2 });
});
