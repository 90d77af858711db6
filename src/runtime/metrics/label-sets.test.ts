import { describe, expect, test } from "vitest";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { areLabelSets, labelF1, labelPrecision, sameLabels } from "./label-sets.ts";

const probabilities = { from: "probabilities", form: "label sets" } as const;

describe("label sets", () => {
  const original = float32([2, 3], [0.9, 0.6, 0.1, 0.2, 0.3, 0.4]);

  test("agree only if all labels are the same", () => {
    const rows = (values: readonly number[]) => [
      ...sameLabels(probabilities).rows({ y: float32([2, 3], values) }, { y: original }),
    ];
    expect(rows([0.6, 0.9, 0.3, 0, 0, 0])).toEqual([1, 1]);
    // The most likely class is the same, and a label is lost.
    expect(rows([0.9, 0.4, 0.1, 0.2, 0.3, 0.4])).toEqual([0, 1]);
    expect(rows([0.9, 0.6, Number.NaN, 0.2, 0.3, 0.6])).toEqual([0, 0]);
  });

  test("of logits have the threshold 0", () => {
    const logits = float32([1, 2], [0.3, -0.3]);
    const rows = (values: readonly number[]) => [
      ...sameLabels({ form: "label sets" }).rows({ y: float32([1, 2], values) }, { y: logits }),
    ];
    expect(rows([0.1, -5])).toEqual([1]);
    expect(rows([-0.1, -5])).toEqual([0]);
  });

  test("have the mean F1 of the samples, which is 1 for two empty sets", () => {
    const label = int64([2, 3], [1, 0, 1, 0, 0, 0]);
    expect([...labelF1(probabilities).rows({ y: original }, { label })]).toEqual([0.5, 1]);
    expect(() => labelF1(probabilities).rows({ y: original }, { label: int64([2], [1, 0]) })).toThrow(
      "expected rows of 3 zeros and ones",
    );
  });

  test("have the mean average precision of the labels that occur", () => {
    const metric = labelPrecision({ ...probabilities, width: 3 });
    const y = float32([4, 3], [0.1, 0.5, 0, 0.4, 0.5, 0, 0.35, 0.5, 0, 0.8, 0.1, 0]);
    const label = int64([4, 3], [0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0]);
    // scikit-learn: average_precision_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) = 0.8333; of the second label, three equal scores come first.
    expect(metric.reduce(metric.rows({ y }, { label }))).toBeCloseTo((0.83333333 + (1 / 3 + 2 / 4) / 2) / 2, 6);
  });

  test("are not found by scores that are NaN", () => {
    const metric = labelPrecision({ ...probabilities, width: 2 });
    const precision = (values: readonly number[]) =>
      metric.reduce(metric.rows({ y: float32([3, 2], values) }, { label: int64([3, 2], [1, 1, 1, 0, 0, 0]) }));
    expect(precision([0.9, 0.9, 0.8, 0.1, 0.1, 0.1])).toBe(1);
    expect(precision(Array(6).fill(Number.NaN))).toBe(0);
    // The sample with NaN is before the others: (0 + 1 / 2) / 2 of the first label, 1 / 2 of the second one.
    expect(precision([0.9, 0.9, Number.NaN, 0.1, 0.1, Number.NaN])).toBeCloseTo((1 / 4 + 1 / 2) / 2, 10);
  });

  test("are rows of 0 and 1 that are not one-hot", () => {
    expect(areLabelSets(int64([2, 2], [1, 1, 0, 0]), 2)).toBe(true);
    expect(areLabelSets(int64([2, 2], [1, 0, 0, 1]), 2)).toBe(false);
    expect(areLabelSets(int64([2, 2], [1, 2, 0, 1]), 2)).toBe(false);
    expect(areLabelSets(int64([2, 2], [1, 1, 0, 1]), 3)).toBe(false);
    expect(areLabelSets(int64([2], [1, 0]), 2)).toBe(false);
  });
});
