import { expect, test } from "vitest";
import { type Speed, speedOf } from "../../judge/measure/speed.ts";
import { benchCommand } from "../../judge/record/shell-command.ts";
import { notFasterText, slowerText, speedLines, timeRow } from "./speed.ts";

const uneven = { layers: 18, convolutions: 19, counts: [7, 9, 12, 24, 37, 45] };
const macsOf = (count: number, per = "batch") => ({ macs: { count, per } });
const spreadOf = (median: number) => ({ median, low: median / 1.12, high: median * 1.12 });
const text = (count: number, median: number, more: object = {}) =>
  notFasterText(spreadOf(median), { before: macsOf(100), ...more }, macsOf(count));

test("explains an unchanged speed at half of the MACs by channels that fill no block", () => {
  expect(text(48, 0.99, { uneven })).toBe(
    "48 % of the MACs, but about as fast: 18 of 19 convolutions have a number of channels that is not a multiple of 16 (7, 9, …). Each takes as long as with the next multiple. Choose multiples with --round-to 16 (prune) or --rank (factorize)",
  );
});

test("names no reason if none is known", () => {
  expect(text(50, 1.1)).toBe("50 % of the MACs, but about as fast: its time does not depend on MACs alone");
});

test("returns nothing if the gain is fair, or MACs are nearly equal or not comparable", () => {
  expect(text(50, 1.3, { uneven })).toBeUndefined();
  expect(text(95, 0.9, { uneven })).toBeUndefined();
  expect(text(120, 0.8)).toBeUndefined();
  expect(notFasterText(spreadOf(0.9), { before: macsOf(100) }, macsOf(10, "n"))).toBeUndefined();
  expect(notFasterText(spreadOf(0.9), { before: macsOf(0) }, macsOf(0))).toBeUndefined();
});

test("prints the speed in a row, or in a line, or why it is missing", () => {
  const speed: Speed = { ...spreadOf(0.6914), before: 1.21, milliseconds: 1.75 };
  expect(timeRow("a.onnx", { against: "a.onnx", ...speed })).toEqual([
    ["time, 1 thread", "1.21 ms", "1.75 ms", "0.69 × as fast (most runs: 0.62–0.77)"],
  ]);
  expect(speedLines("a.onnx", "b.onnx", { against: "a.onnx", ...speed })).toEqual([]);
  expect(timeRow("a.onnx", { against: "t.onnx", ...speed })).toEqual([]);
  expect(speedLines("a.onnx", "b.onnx", { against: "t.onnx", ...speed })).toEqual([
    "speed, compared with t.onnx on one thread: 0.69 × as fast (most runs: 0.62–0.77)",
  ]);
  const slow = { against: "a b.onnx", unmeasured: "a run takes 1.2 s" };
  expect(timeRow("a b.onnx", slow)).toEqual([]);
  expect(speedLines("a b.onnx", "b.onnx", slow)).toEqual([
    `speed: not measured, a run takes 1.2 s; ${benchCommand(["a b.onnx", "b.onnx"])} measures it`,
  ]);
});

test.each([
  [1.63, [1.6, 1.7], "1.63 × as fast (most runs: 1.46–1.83)"],
  [1.63, [1.2, 1.5, 2.1, 2.2], "1.63 × as fast (most runs: 1.29–2.17)"],
  [1.04, [1.03, 1.05], "about as fast"],
  [1.4, [0.9, 1.4, 1.5], "1.00–1.57 × as fast (undecided)"],
  [12.3, [12, 13], "12.3 × as fast (most runs: 11.0–13.8)"],
])("prints a speed of %f with the spread of its series, and at least that of processes", (ratio, ratios, told) => {
  const [row] = timeRow("a", { against: "a", ...speedOf({ before: ratio, after: 1, ratios }) });
  expect(row?.[3]).toBe(told);
});

test("warns only if a result is clearly slower", () => {
  const slower = (factor: number) => slowerText({ against: "a.onnx", ...spreadOf(factor), before: 1, milliseconds: 1 });
  expect(slower(0.62)).toBe("the result is slower than a.onnx on one thread: 0.62 × as fast (most runs: 0.55–0.69)");
  expect([0.93, 1, 2].map(slower)).toEqual([undefined, undefined, undefined]);
  expect(slowerText({ against: "a", unmeasured: "too large" })).toBeUndefined();
});
