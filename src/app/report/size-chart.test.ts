import { expect, test } from "vitest";
import type { Goal } from "../../judge/compare/goal.ts";
import type { SearchedPoint, SearchRecord } from "../../judge/record/run-record.ts";
import { drawSizes, type SizeDrawing } from "./size-chart.ts";

const metric = { name: "signal to noise", unit: "dB", better: "higher" } as const;
const original = { name: "original", kind: "original", bytes: 4e6, value: 30 } as const;
const draw = (drawing: Partial<SizeDrawing>): string =>
  drawSizes({ metric, points: [original], goal: 29.9, width: 640, ...drawing });

const searchOf = (...points: readonly Pick<SearchedPoint, "name" | "bytes" | "drop">[]): SearchRecord => ({
  samples: 100,
  apart: true,
  points: points.map((point) => ({ ...point, isOnFront: false, seconds: 1, recipe: "" })),
});

test("draws finite points and intervals, and names all points", () => {
  const { NaN: none, NEGATIVE_INFINITY: low, POSITIVE_INFINITY: high } = Number;
  const svg = draw({
    points: [
      original,
      { name: "broken", kind: "variant", bytes: 1e6, value: none, paired: { low: none, high: none } },
      { name: "equal", kind: "variant", bytes: 1e6, value: high },
      { name: "few samples", kind: "variant", bytes: 2e6, value: 20, interval: { low, high }, paired: { low, high } },
    ],
    runs: [{ goal: undefined, search: searchOf({ name: "searched", bytes: 1e6, drop: none }) }],
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

test("draws the candidates of searches at their differences from the original, up to five times the goal", () => {
  const tries = [0.1, 0.4, 0.6].map((drop) => ({ name: `drop ${drop}`, bytes: 1e6, drop }));
  const search = searchOf(...tries, { name: "failed", bytes: 1e6, drop: undefined });
  const titles = (goal: Goal | undefined): readonly (string | undefined)[] =>
    [...draw({ runs: [{ goal, search }] }).matchAll(/class="searched[^>]*><title>([^<]*)/g)].map(([, title]) => title);
  const texts = ["drop 0.1: 1.00 MB, 29.90 dB", "drop 0.4: 1.00 MB, 29.60 dB", "drop 0.6: 1.00 MB, 29.40 dB"];
  expect(titles({ maxDrop: 0.1 })).toEqual(texts.slice(0, 2));
  expect(titles(undefined)).toEqual(texts);
});

test("separates names that share a column, to the right and left of their points, and no others", () => {
  const point = (name: string, bytes: number) => ({ name, kind: "variant", bytes, value: 30 }) as const;
  const svg = draw({ points: [point("4 bits", 0.5e6), point("half removed", 2.1e6), original], width: 440 });
  const drawn = (name: string): readonly [side: string | undefined, y: number] => {
    const [, y, side] = new RegExp(`y="([\\d.]+)" text-anchor="(\\w+)">${name}`).exec(svg) ?? [];
    return [side, Number(y)];
  };
  const [alone, right, leftLabel] = ["4 bits", "half removed", "original"].map(drawn);
  expect([alone?.[0], right?.[0], leftLabel?.[0]]).toEqual(["start", "start", "end"]);
  expect(right?.[1]).toBe((alone?.[1] ?? 0) - 8.5);
  expect(leftLabel?.[1]).toBe((alone?.[1] ?? 0) + 8.5);
});

test("lists each name that has no room at its point below the axis, in full", () => {
  const name = "channels −10 %, recovered, distilled for four epochs on all samples, palettes of 2 bits";
  const points = [original, { name: "int8 dynamic", kind: "variant", bytes: 2e6, value: 30 } as const];
  const svg = draw({ points: [...points, { name, kind: "chosen", bytes: 1e6, value: 30 }], width: 440 });
  const texts = [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
  expect(svg).not.toContain("…");
  expect(texts).toEqual(expect.arrayContaining(["original", "int8 dynamic", "1"]));
  expect(texts.slice(-2).join(" ")).toBe(`1  ${name}`);
  const heightOf = (markup: string): number => Number(/viewBox="0 0 \d+ ([\d.]+)"/.exec(markup)?.[1]);
  expect(heightOf(svg)).toBe(heightOf(draw({ points, width: 440 })) + 8 + 2 * 17);
});
