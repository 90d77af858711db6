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
  const at = (...steps: readonly number[]) => steps.map((step) => ({ step, figure: 0.5 + step / 100 }));
  const placesOf = (kind: string, text = ""): readonly number[] => {
    const [, points = ""] = new RegExp(`class="${kind}" points="([^"]+)"`).exec(text) ?? [];
    return points.split(" ").map((point) => Number(point.split(",")[0]));
  };
  const often = trainingCurve([
    { epoch: 1, loss: 1, evaluations: at(0, 5, 10) },
    { epoch: 2, loss: 0.5, evaluations: at(15, 20) },
  ]);
  // Before the first step, in the middle of the first epoch, at its end …
  expect(placesOf("judged", often?.markup)).toEqual([46, 113, 180, 247, 314]);
  expect(placesOf("loss", often?.markup)).toEqual([180, 314]);
  const once = trainingCurve([
    { epoch: 1, loss: 1, evaluations: at(0) },
    { epoch: 2, loss: 0.5, evaluations: at(20) },
  ]);
  expect(placesOf("judged", once?.markup)).toEqual([46, 314]);
});

test("one epoch is no curve", () => {
  expect(trainingCurve([{ epoch: 1, loss: 1 }])).toBeUndefined();
});
