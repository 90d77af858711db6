import { expect, test } from "vitest";
import { placeLabels } from "./place-labels.ts";

test("labels of equal points have different places", () => {
  const placed = placeLabels(
    ["int8 static", "int8 weights", "float16"].map((text) => ({ x: 200, y: 100, text })),
    600,
  );
  expect(new Set(placed.map(({ x, y }) => `${x} ${y}`)).size).toBe(3);
});

test("a label stays within the picture", () => {
  const [placed] = placeLabels([{ x: 590, y: 100, text: "original" }], 600);
  expect(placed?.anchor).toBe("end");
});

test("a point alone has its label on the right, above it", () => {
  expect(placeLabels([{ x: 50, y: 100, text: "original" }], 600)).toEqual([
    { x: 60, y: 92, text: "original", anchor: "start" },
  ]);
});
