import { expect, test } from "vitest";
import { drawSizes, type SizeDrawing } from "./chart.ts";

const metric = { name: "signal to noise", unit: "dB", better: "higher" } as const;
const original = { name: "original", kind: "original", bytes: 4e6, value: 30 } as const;
const draw = (drawing: Partial<SizeDrawing>): string =>
  drawSizes({ metric, points: [original], searched: [], goal: 29.9, width: 640, ...drawing });

test("draws finite points and intervals, and names all points", () => {
  const { NaN: none, NEGATIVE_INFINITY: low, POSITIVE_INFINITY: high } = Number;
  const svg = draw({
    points: [
      original,
      { name: "broken", kind: "variant", bytes: 1e6, value: none, paired: { low: none, high: none } },
      { name: "equal", kind: "variant", bytes: 1e6, value: high },
      { name: "few samples", kind: "variant", bytes: 2e6, value: 20, interval: { low, high }, paired: { low, high } },
    ],
    searched: [{ name: "searched", bytes: 1e6, value: none, isOnFront: true }],
    goal: none,
    estimate: none,
  });
  expect(svg.match(/="[^"]*(NaN|Infinity)[^"]*"/g)).toEqual([
    expect.stringContaining("broken 1.00 MB, NaN dB; equal 1.00 MB, ∞ dB"),
  ]);
  expect(svg.match(/<g class="point/g)).toHaveLength(2);
  expect(svg).not.toMatch(/class="(own|paired|goal|estimate|searched)/);
});

test("draws axes without points", () => {
  expect(draw({ points: [], goal: undefined })).not.toMatch(/NaN|Infinity/);
});

test("draws the goal and the estimate", () => {
  expect(draw({ estimate: 1e6 })).toMatch(/class="estimate".*\n.*class="goal"/);
});
