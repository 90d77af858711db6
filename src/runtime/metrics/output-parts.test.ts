import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { definePart } from "../../core/analysis/output-parts.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { determination, signalToNoise } from "./comparison-metrics.ts";
import type { Metric } from "./metric.ts";

const [samples, rows, boxes] = [16, 9, 8];
const range = (start: number, end: number) => Array.from({ length: end - start }, (_, index) => start + index);
const indicesOf = (start: number, end: number) => new Map([[1, range(start, end)]]);

/** Boxes from 0 to 640 in rows 0 to 3, and scores from 0 to 1 in rows 4 to 8, as a Sigmoid computes them. */
const parts = [definePart("y", indicesOf(0, 4)), definePart("y", indicesOf(4, rows), 1)];
const options = { output: "y", width: rows * boxes, parts };

function outputs(write: (row: number, uniform: () => number) => number) {
  const { uniform } = random(1, "outputs");
  const next = () => uniform();
  const positions = range(0, samples * rows * boxes);
  const numbers = positions.map((position) => write(Math.floor(position / boxes) % rows, next));
  return { y: float32([samples, rows, boxes], numbers) };
}

const original = outputs((row, uniform) => (row < 4 ? 640 : 1) * uniform());

function measure(metric: Metric, result: ReturnType<typeof outputs>, reference = original) {
  const metricRows = metric.rows(result, reference);
  return {
    value: metric.reduce(metricRows),
    worst: metric.worstPart?.(metricRows),
    detail: metric.detail?.(metricRows),
  };
}

const withoutScores = outputs((row, uniform) => (row < 4 ? 640 * uniform() : 0 * uniform()));

describe("R² and signal to noise of an output of several parts", () => {
  test("are those of the worst part, which they name", () => {
    const { value, worst, detail } = measure(determination(options), withoutScores);
    expect(value).toBeLessThan(0);
    expect(worst).toBe("y[:, 4:9]");
    expect(detail).toBe('of "y[:, 4:9]", the worst of 2 parts');
    expect(measure(signalToNoise(options), withoutScores)).toMatchObject({ value: 0, worst: "y[:, 4:9]" });
    expect(measure(determination({ ...options, parts: undefined }), withoutScores).value).toBeGreaterThan(0.9999);
  });

  test("name no part if nothing changed", () => {
    for (const metric of [determination(options), signalToNoise(options)])
      expect(measure(metric, original)).toEqual({ value: metric.best, worst: undefined, detail: undefined });
  });

  test("are NaN if a part is not a number", () => {
    const broken = outputs((row, uniform) => (row < 4 ? 640 * uniform() : Number.NaN));
    expect(measure(determination(options), broken)).toMatchObject({ value: Number.NaN, worst: "y[:, 4:9]" });
  });

  test("divide the error of a part that hardly varies by its power, and that of a part of zeros by the whole power", () => {
    const constant = (value: number) => outputs((row, uniform) => (row < 4 ? 640 * uniform() : value));
    expect(measure(determination(options), constant(0.5 + 1e-4), constant(0.5)).value).toBeGreaterThan(0.9999);
    const unbounded = { ...options, parts: parts.map(({ range: _, ...part }) => part) };
    expect(measure(determination(unbounded), constant(0), constant(0.5)).value).toBeCloseTo(0, 6);
    expect(measure(determination(options), constant(1e-4), constant(0)).value).toBeGreaterThan(0.9999);
    expect(measure(signalToNoise(options), constant(1e-4), constant(0)).value).toBeGreaterThan(60);
  });

  test("divide the error of a saturated part by its range", () => {
    const scores = (scale: number) => outputs((row, uniform) => (row < 4 ? 640 : scale) * uniform());
    const rounded = outputs((row, uniform) => (row < 4 ? 640 * uniform() : 0 * uniform()));
    expect(measure(determination(options), rounded, scores(1e-3)).value).toBeGreaterThan(0.9999);
    expect(measure(determination(options), rounded, scores(0.1)).value).toBeLessThan(0);
  });

  test("are those of the whole output if it has one part", () => {
    const numbers = fc.array(fc.double({ min: -1e4, max: 1e4, noNaN: true }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(numbers, numbers, fc.constantFrom(1, 2, 4), (before, after, width) => {
        const [reference, result] = [before, after].map((values) => ({ y: float32([2, 2, 2], values) })) as [
          never,
          never,
        ];
        for (const define of [determination, signalToNoise]) {
          const undivided = define({ output: "y", width });
          const onePart = define({ output: "y", width, parts: [definePart("y", new Map())] });
          expect(onePart.rows(result, reference)).toEqual(undivided.rows(result, reference));
          expect(measure(onePart, result, reference)).toEqual(measure(undivided, result, reference));
        }
      }),
    );
  });
});
