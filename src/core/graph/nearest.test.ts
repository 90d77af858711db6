import { expect, test } from "vitest";
import { allNearest, byNearness, nearest } from "./nearest.ts";

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

test("compares no names whose lengths differ by more letters than may change", () => {
  expect(nearest("a".repeat(1e6), ["a".repeat(1e5), "a".repeat(100)])).toBeUndefined();
});

test("names are sorted by nearness: those that hold what was typed first, equals as they came", () => {
  const layers = ["stem", "layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "fc"];
  expect(byNearness("conv1", layers).slice(0, 2)).toEqual(["layer1.0.conv1", "layer2.0.conv1"]);
  expect(byNearness("layer2.0.conv", layers)[0]).toBe("layer2.0.conv1");
  expect(byNearness("layer1.0.cnv2", layers)[0]).toBe("layer1.0.conv2");
  expect(byNearness("", ["b", "a"])).toEqual(["b", "a"]);
});

test("all names with the least edits are nearest", () => {
  expect(allNearest("q6", ["q8", "int8", "q4", "q4f16", "q2"])).toEqual(["q8", "q4", "q2"]);
  expect(allNearest("x", ["train"])).toEqual([]);
});
