import { expect, test } from "vitest";
import { nearest } from "./nearest.ts";

const names = ["prune", "train", "distill", "factorize", "quantize"];

test.each([
  ["trian", "train"],
  ["Prune", "prune"],
  ["quantise", "quantize"],
  ["factorise", "factorize"],
  ["distil", "distill"],
  ["learning_rate", undefined],
  ["x", undefined],
  ["", undefined],
])("%s is nearest to %s", (typed, meant) => {
  expect(nearest(typed, names)).toBe(meant);
});

test("of equally near names the first is meant, a nearer one before it", () => {
  expect(nearest("rain", ["gain", "train"])).toBe("gain");
  expect(nearest("train", ["trains", "train"])).toBe("train");
});
