import { expect, test } from "vitest";
import { layout } from "./layout.ts";

test("of thousands of edges over thousands of ranks those that come last are straight lines", () => {
  const half = 5000;
  const boxes = Array.from({ length: 2 * half }, () => ({ width: 60 }));
  const row = Array.from({ length: 2 * half - 1 }, (_, at) => [at, at + 1] as const);
  const skips = Array.from({ length: half }, (_, at) => [at, at + half] as const);
  const { edges } = layout(boxes, [...row, ...skips]);
  const points = edges.slice(row.length).map((edge) => edge.length);
  expect([points[0], points.at(-1)]).toEqual([half + 1, 2]);
});
