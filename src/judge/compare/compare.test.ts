import { expect, test } from "vitest";
import { definePart } from "../../core/analysis/output-parts.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { determination } from "../../runtime/metrics/comparison-metrics.ts";
import { compareRows } from "./compare.ts";

test("a comparison names the worst part of each model", () => {
  const parts = [definePart("y", new Map([[1, [0]]])), definePart("y", new Map([[1, [1]]]))];
  const metric = determination({ output: "y", width: 2, parts });
  const outputs = (errors: readonly number[]) => ({
    y: float32(
      [8, 2],
      Array.from({ length: 16 }, (_, index) => (index >> 1) * (1 + (errors[index % 2] ?? 0))),
    ),
  });
  const rows = (...errors: readonly number[]) => metric.rows(outputs(errors), outputs([0, 0]));
  const nameOf = (before: Float64Array, after: Float64Array) => compareRows(metric, before, after).metric;
  expect(nameOf(rows(0, 0), rows(0.1, 0.2))).toBe('R² of "y[:, 1:2]"');
  expect(nameOf(rows(0, 0.2), rows(0.1, 0.2))).toBe('R² of "y[:, 1:2]"');
  expect(nameOf(rows(0.3, 0.1), rows(0.1, 0.2))).toBe('R² of the worst part ("y[:, 0:1]", then "y[:, 1:2]")');
  expect(nameOf(rows(0.3, 0.1), rows(0, 0))).toBe('R² of "y[:, 0:1]"');
});
