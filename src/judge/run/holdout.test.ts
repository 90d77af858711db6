import { expect, test } from "vitest";
import { accuracy, macroF1 } from "../../runtime/metrics/metrics.ts";
import { divide, Holdout } from "./holdout.ts";

test("validation samples are a third, drawn by the seed, and none of them is a test sample", () => {
  const { validation, test: tested } = divide(1000, 1, false) ?? {};
  expect([validation?.length, tested?.length]).toEqual([333, 667]);
  expect(new Set([...(validation ?? []), ...(tested ?? [])]).size).toBe(1000);
  expect(divide(1000, 1, false)).toEqual({ validation, test: tested });
  expect(divide(1000, 2, false)?.validation).not.toEqual(validation);
  // Neither part lies at an end of the whole, which may be sorted by class.
  expect(validation?.filter((sample) => sample < 500).length).toBeGreaterThan(100);
  expect(validation?.filter((sample) => sample >= 500).length).toBeGreaterThan(100);
});

test("of samples that follow each other the first are validation samples", () => {
  const { validation, test: tested } = divide(90, 1, true) ?? {};
  expect([validation?.at(0), validation?.at(-1), tested?.at(0), tested?.at(-1)]).toEqual([0, 29, 30, 89]);
});

test("too few samples are not divided", () => {
  expect(divide(89, 1, false)).toBeUndefined();
  expect(divide(0, 1, false)).toBeUndefined();
});

test("a holdout counts its own samples, with their columns and answers", () => {
  const answers = { given: Float64Array.of(0, 1, 1, 0), labels: Float64Array.of(0, 1, 0, 0) };
  const right = { rows: Float64Array.of(1, 1, 0, 1), said: answers };
  const holdout = new Holdout(accuracy(), right, Uint32Array.of(1, 2));
  expect(holdout.original.comparison.original).toMatchObject({ value: 0.5, count: 2 });
  expect(holdout.original.answers).toEqual({ given: Float64Array.of(1, 1), labels: Float64Array.of(1, 0) });
  const { comparison, agreement } = holdout.compare({
    rows: Float64Array.of(0, 1, 1, 0),
    said: { ...answers, given: Float64Array.of(1, 1, 0, 1) },
  });
  expect(comparison).toMatchObject({ candidate: { value: 1 }, difference: { value: 0.5, count: 2 } });
  expect(agreement).toMatchObject({ value: 0.5, count: 2 });
  // Label and answer of each sample, in two columns.
  const pairs = { rows: Float64Array.of(0, 0, 1, 1, 0, 1, 0, 0), said: answers };
  const two = new Holdout(macroF1(), pairs, Uint32Array.of(0, 1));
  expect(two.original.comparison.original).toMatchObject({ value: 1, count: 2 });
});

test("a sample without a row is not counted as one that was answered wrongly", () => {
  const rowsOf = (count: number) => {
    const ones = new Float64Array(count).fill(1);
    return { rows: ones, said: { given: ones, labels: ones } };
  };
  const holdout = new Holdout(accuracy(), rowsOf(4), Uint32Array.of(0, 3));
  // As many as the holdout has samples, but not those.
  for (const count of [0, 2, 3]) expect(() => holdout.compare(rowsOf(count))).toThrow(RangeError);
  expect(holdout.compare(rowsOf(5)).comparison.candidate).toMatchObject({ value: 1, count: 2 });
});
