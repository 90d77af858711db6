/** Views of series of millions of values. */
import { describe, expect, test } from "vitest";
import type { Dense } from "../../core/tensor/types.ts";
import { sampleViewOf } from "./sample-views.ts";

describe("viewOf draws a series of numbers", () => {
  const series = (length: number, value: (index: number) => number): Dense => ({
    type: "float32",
    dims: [1, 1, length],
    data: Float32Array.from({ length }, (_, index) => value(index)),
  });

  test("within the given width and height, also of millions of values, NaN and infinity", () => {
    for (const x of [series(64, Math.sin), series(13_000_000, (index) => index % 7), series(40, () => Number.NaN)]) {
      const view = sampleViewOf({ x });
      if (view?.kind !== "series") throw new Error("The view is not a series.");
      expect(view.path).toMatch(/^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+)+$/);
      const points = view.path
        .slice(1)
        .split("L")
        .map((point) => point.split(" ").map(Number));
      expect(points.every(([x = -1, y = -1]) => x < view.width && y <= view.height)).toBe(true);
      expect(points.length).toBeLessThanOrEqual(2 * view.width);
    }
  });

  test("but lists a short one, and a matrix", () => {
    expect(sampleViewOf({ x: series(31, Math.sin) })?.kind).toBe("numbers");
    expect(sampleViewOf({ x: { ...series(64, Math.sin), dims: [1, 8, 8] } })?.kind).toBe("numbers");
  });
});
