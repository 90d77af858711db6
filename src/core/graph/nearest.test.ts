import { expect, test } from "vitest";
import { allNearest, nearest, sortBySimilarity } from "./nearest.ts";

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
])("nearest to %s is %s", (typed, meant) => {
  expect(nearest(typed, names)).toBe(meant);
});

test("nearest prefers the closest name, and the first of equally close ones", () => {
  expect(nearest("rain", ["gain", "train"])).toBe("gain");
  expect(nearest("train", ["trains", "train"])).toBe("train");
});

test("nearest skips names whose lengths differ too much", () => {
  expect(nearest("a".repeat(1e6), ["a".repeat(1e5), "a".repeat(100)])).toBeUndefined();
});

test("byNearness sorts by similarity: names that contain the text first", () => {
  const layers = ["stem", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "fc"];
  expect(sortBySimilarity("conv1", layers).slice(0, 2)).toEqual(["layer1.0.conv1", "layer2.0.conv1"]);
  expect(sortBySimilarity("layer2.0.conv", layers)[0]).toBe("layer2.0.conv1");
  expect(sortBySimilarity("layer1.0.cnv2", layers)[0]).toBe("layer1.0.conv2");
  expect(sortBySimilarity("", ["b", "a"])).toEqual(["b", "a"]);
});

test("allNearest returns all names with the fewest edits", () => {
  expect(allNearest("q6", ["q8", "int8", "q4", "q4f16", "q2"])).toEqual(["q8", "q4", "q2"]);
  expect(allNearest("x", ["train"])).toEqual([]);
});
