import { expect, test } from "vitest";
import { trainingCurve } from "./curve.ts";

test("the loss falls from the upper left to the lower right, and its least and greatest are written beside it", () => {
  const text = trainingCurve([2, 1, 0.5].map((loss, at) => ({ epoch: at + 1, loss })))?.markup ?? "";
  const points = /class="loss" points="([^"]+)"/
    .exec(text)?.[1]
    ?.split(" ")
    .map((point) => point.split(",").map(Number));
  expect(points?.map(([x]) => x)).toEqual([46, 180, 314]);
  expect(points?.[0]?.[1]).toBeLessThan(points?.[1]?.[1] ?? 0);
  expect(points?.[1]?.[1]).toBeLessThan(points?.[2]?.[1] ?? 0);
  expect(text).toContain(">2.00</text>");
  expect(text).toContain(">0.500</text>");
  expect(text).not.toContain("judged");
});

test("figures on samples kept apart are a line of their own, spread over their epochs", () => {
  const evaluations = [{ figure: 0.5 }, { figure: 0.75 }];
  const text = trainingCurve([1, 2].map((epoch) => ({ epoch, loss: 1 / epoch, evaluations })))?.markup ?? "";
  expect(/class="judged" points="([^"]+)"/.exec(text)?.[1]?.split(" ")).toHaveLength(4);
});

test("one epoch is no curve", () => {
  expect(trainingCurve([{ epoch: 1, loss: 1 }])).toBeUndefined();
});
