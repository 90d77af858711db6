import { expect, test } from "vitest";
import fc from "../../../../test/property.ts";
import { layout } from "./layout.ts";

const boxes = (count: number, width = 60): { width: number }[] => Array.from({ length: count }, () => ({ width }));

test("a chain is a straight line", () => {
  const { boxes: places, ranks } = layout(boxes(4), [
    [0, 1],
    [1, 2],
    [2, 3],
  ]);
  expect(places.map((place) => place.rank)).toEqual([0, 1, 2, 3]);
  expect(new Set(places.map((place) => Math.round(place.x))).size).toBe(1);
  expect(ranks).toBe(4);
});

test("a skip runs beside what it skips", () => {
  const { boxes: places, edges } = layout(boxes(3), [
    [0, 1],
    [1, 2],
    [0, 2],
  ]);
  const skip = edges[2] ?? [];
  expect(skip.map((point) => point.rank)).toEqual([0, 1, 2]);
  expect(Math.abs((skip[1]?.x ?? 0) - (places[1]?.x ?? 0))).toBeGreaterThan(30);
});

test("edges that need not cross do not", () => {
  const { boxes: places } = layout(boxes(4), [
    [0, 3],
    [1, 2],
  ]);
  const x = (index: number): number => places[index]?.x ?? 0;
  expect(Math.sign(x(0) - x(1))).toBe(Math.sign(x(3) - x(2)));
});

test("nothing is an empty drawing", () => {
  expect(layout([], [])).toMatchObject({ boxes: [], edges: [] });
});

test("boxes of a rank never overlap, nothing lies left of 0 or right of the width, edges go down", () => {
  const graph = fc
    .integer({ min: 1, max: 25 })
    .chain((count) =>
      fc.record({
        widths: fc.array(fc.integer({ min: 10, max: 200 }), { minLength: count, maxLength: count }),
        edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1))),
      }),
    );
  fc.assert(
    fc.property(graph, ({ widths, edges }) => {
      const forward = edges.filter(([from, to]) => from < to);
      const drawn = layout(
        widths.map((width) => ({ width })),
        forward,
      );
      drawn.boxes.forEach((a, i) => {
        const half = (widths[i] ?? 0) / 2;
        expect(a.x - half).toBeGreaterThanOrEqual(-1e-6);
        expect(a.x + half).toBeLessThanOrEqual(drawn.width + 1e-6);
        drawn.boxes.forEach((b, j) => {
          if (j <= i || a.rank !== b.rank) return;
          expect(Math.abs(a.x - b.x)).toBeGreaterThanOrEqual(half + (widths[j] ?? 0) / 2);
        });
      });
      for (const points of drawn.edges) {
        expect(points.map((point) => point.rank - (points[0]?.rank ?? 0))).toEqual(points.map((_, index) => index));
      }
    }),
    { numRuns: 200, seed: 1 },
  );
});

test("a source stands right above the first box it leads to", () => {
  const { boxes: places } = layout(boxes(5), [
    [0, 1],
    [1, 2],
    [2, 3],
    [4, 3],
  ]);
  expect(places.map((place) => place.rank)).toEqual([0, 1, 2, 3, 2]);
});
