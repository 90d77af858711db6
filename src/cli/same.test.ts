import { describe, expect, it } from "vitest";
import { createEngine } from "../engine/index.ts";
import { parseModel } from "../graph/text.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { compareOutputs, toleranceOf } from "./same.ts";
import { difference } from "./tensor-difference.ts";

const engine = createEngine();
const options = { sizes: new Map(), set: {}, seed: 1, signal: new AbortController().signal, progress: () => {} };
const model = (text: string) => parseModel(`opset 21\ngraph ${text}`);
const compare = (a: string, b: string, more: Partial<typeof options> = {}) =>
  compareOutputs(engine, model(a), model(b), { ...options, ...more });

const doubled = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  c: float32[] = 2\n  y = Mul(x, c)\n}";

describe("compareOutputs", () => {
  it("finds equal functions equal on several inputs", async () => {
    const sum = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  y = Add(x, x)\n}";
    expect(await compare(doubled, sum)).toEqual({ inputs: 4, difference: 0, at: undefined, tolerance: 1e-4 });
  });

  it("says how far and where functions are apart that are not equal", async () => {
    const other = doubled.replace("= 2", "= 2.5");
    expect(await compare(doubled, other)).toMatchObject({ at: "y", difference: expect.closeTo(0.25, 5) });
  });

  it("demands that integers are equal", async () => {
    const picked = (op: string): string => `(x: float32[n, 3]) -> (y: int64[n, 1]) {\n  y = ${op}(x) {axis=1}\n}`;
    expect(await compare(picked("ArgMax"), picked("ArgMin"))).toMatchObject({ difference: Number.POSITIVE_INFINITY });
  });

  it("finds sizes that the original runs with: a sequence as long as its window", async () => {
    const window =
      "(x: float32[batch, 1, length]) -> (y: float32[...]) {\n  w: float32[1, 1, 20] = random(seed 1)\n  y = Conv(x, w)\n}";
    expect(await compare(window, window)).toMatchObject({ inputs: 4, difference: 0 });
  });

  it("feeds what was set to the original alone", async () => {
    const scaled = "(x: float32[n, 3], c: float32[]) -> (y: float32[n, 3]) {\n  y = Mul(x, c)\n}";
    expect(await compare(scaled, doubled, { set: { c: float32([], [2]) } })).toMatchObject({ difference: 0 });
    expect(await compare(scaled, doubled, { set: { c: float32([], [3]) } })).toMatchObject({
      difference: expect.closeTo(1 / 3, 5),
    });
  });

  it.each([
    ["random numbers", "(x: float32[n]) -> (y: float32[n]) {\n  y = RandomNormalLike(x)\n}", /draws random numbers/],
    [
      "texts as inputs",
      "(x: string[n]) -> (y: string[n]) {\n  y = Identity(x)\n}",
      /nothing can be made up for input "x"/,
    ],
    [
      "an original that never runs",
      "(x: float32[2]) -> (y: float32[...]) {\n  s: int64[1] = [3]\n  y = Reshape(x, s)\n}",
      /./,
    ],
  ])("says why there is no comparison: %s", async (_, text, reason) => {
    const found = await compare(text, text).catch((error: Error) => error.message);
    expect(found).toMatch(reason);
  });
});

describe("difference", () => {
  it("is relative to the largest number, and infinite where something else differs", () => {
    expect(difference(float32([2], [1, 4]), float32([2], [1, 4.5]))).toBe(0.125);
    expect(difference(float32([1], [Number.NaN]), float32([1], [Number.NaN]))).toBe(0);
    expect(difference(float32([1], [Number.NaN]), float32([1], [0]))).toBe(Number.POSITIVE_INFINITY);
    expect(difference(float32([1], [1]), float32([], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(difference(float32([1], [1]), int64([1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(difference(float32([1], [1]), undefined)).toBe(Number.POSITIVE_INFINITY);
    expect(difference(int64([1], [1]), int64([1], [2]))).toBe(Number.POSITIVE_INFINITY);
  });
});

it("halves are allowed more rounding", () => {
  expect(toleranceOf(model("(x: float16[n]) -> (y: float16[n]) {\n  y = Relu(x)\n}"))).toBeGreaterThan(1e-3);
});
