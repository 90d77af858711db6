import { describe, expect, it } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { simplify } from "../../rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../runtime/run/difference.ts";
import { requireLoads, watchLoads } from "../../runtime/run/load-check.ts";
import { checkEquivalence, toleranceOf } from "./equivalence.ts";

const engine = createEngine();
const options = { sizes: new Map(), set: {}, seed: 1, signal: new AbortController().signal, progress: () => {} };
const model = (text: string) => parseModel(`opset 21\ngraph ${text}`);
const compare = (a: string, b: string, more: Partial<typeof options> = {}) =>
  checkEquivalence(engine, model(a), model(b), { ...options, ...more });

const doubled = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  c: float32[] = 2\n  y = Mul(x, c)\n}";

describe("checkEquivalence", () => {
  it("finds no difference between equal functions on several inputs", async () => {
    const sum = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  y = Add(x, x)\n}";
    expect(await compare(doubled, sum)).toEqual({
      inputs: 4,
      difference: 0,
      at: undefined,
      tolerance: 1e-4,
      run: "fused",
    });
  });

  it.each([
    ["a constant", "  z: float32[] = 0\n  w: float32[3] = [1, 2, 3]\n  h = Mul(x, z)\n  y = Add(h, w)\n"],
    ["NaN", "  z = Sub(x, x)\n  y = Div(z, z)\n"],
  ])("marks a comparison as constant if all outputs are %s", async (_, body) => {
    const text = `(x: float32[n, 3]) -> (y: float32[n, 3]) {\n${body}}`;
    expect(await compare(text, text)).toMatchObject({ difference: 0, constant: true });
    expect(await compare(text.replaceAll("n, 3", "2, 3"), text.replaceAll("n, 3", "2, 3"))).toMatchObject({
      constant: true,
    });
  });

  it.each([3, 50])("tries more sizes of a first axis that is time, of which a kernel needs %i", async (kernel) => {
    const convolution = (weight: number) => `(x: float32[time, 2]) -> (y: float32[steps, 1]) {
  w: float32[1, 2, ${kernel}] = random(seed ${weight})
  axis: int64[1] = [0]
  a = Transpose(x) {perm=[1, 0]}
  b = Unsqueeze(a, axis)
  c = Conv(b, w)
  d = Squeeze(c, axis)
  y = Transpose(d) {perm=[1, 0]}
}`;
    expect(await compare(convolution(1), convolution(1))).toMatchObject({ difference: 0, inputs: 4 });
    expect(await compare(convolution(1), convolution(2))).toMatchObject({ at: "y" });
  });

  it("names the option that sets free sizes if no size runs", async () => {
    const impossible =
      "(x: float32[time, 3]) -> (y: float32[n, 7]) {\n  shape: int64[2] = [-1, 7]\n  y = Reshape(x, shape)\n}";
    const fixed = impossible.replace("7]\n", "1009]\n").replace("n, 7", "n, 1009");
    expect(await compare(fixed, fixed)).toContain("`dim` sets the sizes of free dimensions");
    expect(await compare(fixed, fixed, { sizes: new Map([["time", 1009]]) })).toMatchObject({ difference: 0 });
  });

  it("returns the output and the difference of functions that are not equal", async () => {
    const other = doubled.replace("= 2", "= 2.5");
    expect(await compare(doubled, other)).toMatchObject({ at: "y", difference: expect.closeTo(0.25, 5) });
  });

  it("finds differences next to scores that are masked with the minimum of the type", async () => {
    const masked = (scale: number): string => `(x: float32[n, 3]) -> (y: float32[n, 3]) {
  c: float32[] = ${scale}
  kept: bool[3] = [true, false, true]
  low: float32[] = -3.4028234663852886e38
  scores = Mul(x, c)
  y = Where(kept, scores, low)
}`;
    expect(await compare(masked(2), masked(2))).toMatchObject({ difference: 0 });
    const sameness = await compare(masked(2), masked(-2));
    expect(sameness).toMatchObject({ at: "y" });
    if (typeof sameness !== "string") expect(sameness.difference).toBeGreaterThan(1);
  });

  it("returns an infinite difference for unequal integers", async () => {
    const picked = (op: string): string => `(x: float32[n, 3]) -> (y: int64[n, 1]) {\n  y = ${op}(x) {axis=1}\n}`;
    expect(await compare(picked("ArgMax"), picked("ArgMin"))).toMatchObject({ difference: Number.POSITIVE_INFINITY });
  });

  it("finds a sequence length that the original accepts", async () => {
    const window =
      "(x: float32[batch, 1, length]) -> (y: float32[...]) {\n  w: float32[1, 1, 20] = random(seed 1)\n  y = Conv(x, w)\n}";
    expect(await compare(window, window)).toMatchObject({ inputs: 4, difference: 0 });
  });

  it("feeds set values to the original only", async () => {
    const scaled = "(x: float32[n, 3], c: float32[]) -> (y: float32[n, 3]) {\n  y = Mul(x, c)\n}";
    expect(await compare(scaled, doubled, { set: { c: float32([], [2]) } })).toMatchObject({ difference: 0 });
    expect(await compare(scaled, doubled, { set: { c: float32([], [3]) } })).toMatchObject({
      difference: expect.closeTo(1 / 3, 5),
    });
  });

  it("names the model that does not load or run", async () => {
    const rejected = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  s: float32[2] = [1, 2]\n  y = Reshape(x, s)\n}";
    const failing = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  s: int64[2] = [7, 9]\n  y = Reshape(x, s)\n}";
    expect(await compare(rejected, doubled)).toMatch(/^the original does not run: /);
    await expect(compare(doubled, rejected)).rejects.toThrow(/^The result does not load: /);
    await expect(compare(doubled, failing)).rejects.toThrow(/^The original runs, the result does not: .*Reshape/);
  });

  it.each([
    [
      "texts as inputs",
      "(x: string[n]) -> (y: string[n]) {\n  y = Identity(x)\n}",
      /no random numbers can be drawn for input "x"/,
    ],
    [
      "an original that never runs",
      "(x: float32[2]) -> (y: float32[...]) {\n  s: int64[1] = [3]\n  y = Reshape(x, s)\n}",
      /./,
    ],
  ])("returns the reason if there is no comparison: %s", async (_, text, reason) => {
    const sameness = await compare(text, text).catch((error: Error) => error.message);
    expect(sameness).toMatch(reason);
  });
});

/** Engine that replaces some models before it loads them. */
const standingIn = (instead: (given: Model, optimize: boolean) => Model): Engine => ({
  load: (given, load) => engine.load(instead(given, load?.optimize !== false), load),
});

describe("amplified rounding", () => {
  /** Outputs of Sigmoid near −11: 2e-5, which float32 resolves to two digits after a subtraction. */
  const faint = (shift: number): string => `(x: float32[n, 8, 16, 16]) -> (y: float32[...]) {
  w: float32[1, 8, 3, 3] = random(seed 1)
  s: float32[1] = [1]
  m: float32[1] = [0.2]
  v: float32[1] = [1.5]
  b: float32[1] = [${shift}]
  c = Conv(x, w)
  h = BatchNormalization(c, s, b, m, v)
  y = Sigmoid(h)
}`;

  it("is not a difference if the output saturates", async () => {
    const [original, folded] = [model(faint(-11)), model(faint(-11))];
    const { changes } = await simplify(folded);
    expect(changes).not.toEqual([]);
    const sameness = await checkEquivalence(engine, original, folded, options);
    expect(sameness).toMatchObject({ inputs: 4, tolerance: 1e-4 });
    if (typeof sameness !== "string") expect(sameness.difference).toBeLessThan(1e-5);
  });

  it.each([
    ["a shift", faint(-11.01)],
    ["a weight", faint(-11).replace("seed 1", "seed 2")],
    ["a scale", faint(-11).replace("= [1]", "= [1.01]")],
    ["a variance", faint(-11).replace("[1.5]", "[1.6]")],
  ])("does not hide a wrong rewrite if all outputs are near 0: %s", async (_, wrong) => {
    const sameness = await compare(faint(-11), wrong);
    expect(sameness).toMatchObject({ at: "y" });
    if (typeof sameness !== "string") expect(sameness.difference).toBeGreaterThan(5 * sameness.tolerance);
  });

  it.each([
    ["Softmax", "y = Softmax(h)"],
    ["Tanh", "y = Tanh(h)"],
    ["a Sigmoid that is reshaped", "p = Sigmoid(h)\n  s: int64[1] = [-1]\n  y = Reshape(p, s)"],
  ])("does not hide a wrong rewrite upstream of %s", async (_, end) => {
    const text = (by: number): string =>
      `(x: float32[n, 3]) -> (y: float32[...]) {\n  c: float32[3] = [30, 60, ${by}]\n  h = Add(x, c)\n  ${end}\n}`;
    expect(await compare(text(90), text(90))).toMatchObject({ difference: 0 });
    const sameness = await compare(text(90), text(91));
    expect(sameness).toMatchObject({ at: "y" });
    if (typeof sameness !== "string") expect(sameness.difference).toBeGreaterThan(sameness.tolerance);
  });

  const times = (factor: number): string =>
    `(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  c: float32[] = ${factor}\n  y = Mul(x, c)\n}`;

  it.each([
    [1.003, true],
    [1.01, false],
  ])("allows four times the rounding of the original: factor %d, rounding of 0.001", async (factor, kept) => {
    const [original, other, asWritten] = [model(times(1)), model(times(factor)), model(times(1.001))];
    const rounding = standingIn((given, optimize) => (given === original && !optimize ? asWritten : given));
    const sameness = await checkEquivalence(rounding, original, other, options);
    expect(sameness).toMatchObject({ own: expect.closeTo(0.001, 5), tolerance: expect.closeTo(0.004, 4) });
    if (typeof sameness !== "string") expect(sameness.difference <= sameness.tolerance).toBe(kept);
  });
});

it("reports a result that loads only without graph optimizations", async () => {
  const [original, other] = [model(doubled), model(doubled)];
  const failing: Engine = {
    load: (given, load) =>
      given === other && load?.optimize !== false
        ? Promise.reject(new PithError("E_ENGINE", "Pad should be smaller than kernel."))
        : engine.load(given, load),
  };
  await expect(checkEquivalence(failing, original, other, options)).rejects.toThrow(
    "The result loads without graph optimizations, but not with those of ONNX Runtime: Pad should be smaller than kernel.",
  );
  const watched = watchLoads(failing);
  await expect(requireLoads(watched, other, original)).rejects.toThrow(
    /without graph optimizations, but not with those of ONNX Runtime/,
  );
  await requireLoads(watched, original, original);
});

describe("quantized models", () => {
  const rounded = `(x: float32[n, 3]) -> (y: float32[n, 3]) {
  s: float32[] = 0.02
  z: uint8[] = 100
  c: float32[] = 2
  d = Mul(x, c)
  q = QuantizeLinear(d, s, z)
  y = DequantizeLinear(q, s, z)
}`;

  const fusing = (odd: Model, into: Model): Engine =>
    standingIn((given, optimize) => (given === odd && optimize ? into : given));

  it("are equal if they are equal node by node, and reports the difference when fused", async () => {
    const [original, other, codes] = [model(rounded), model(rounded), model(rounded.replace("= 2\n", "= 2.01\n"))];
    expect(await checkEquivalence(engine, original, other, options)).toMatchObject({ run: "as written", fused: 0 });
    const sameness = await checkEquivalence(fusing(other, codes), original, other, options);
    expect(sameness).toMatchObject({ run: "as written", difference: 0, tolerance: 1e-4, fused: expect.any(Number) });
    if (typeof sameness !== "string") expect(sameness.fused).toBeGreaterThan(1e-3);
  });

  it("differ if a single quantized value differs node by node", async () => {
    const other = model(rounded.replace("= 2\n", "= 2.01\n"));
    const sameness = await checkEquivalence(engine, model(rounded), other, options);
    expect(sameness).toMatchObject({ run: "as written", tolerance: 1e-4, at: "y" });
    if (typeof sameness !== "string") expect(sameness.difference).toBeGreaterThan(sameness.tolerance);
  });

  it("differ if the difference when fused exceeds that of quantized values", async () => {
    const [original, other, far] = [model(rounded), model(rounded), model(rounded.replace("= 2\n", "= 3\n"))];
    const sameness = await checkEquivalence(fusing(other, far), original, other, options);
    expect(sameness).toMatchObject({ run: "fused", at: "y" });
    if (typeof sameness !== "string") expect(sameness.difference).toBeGreaterThan(sameness.tolerance);
  });
});

describe("largestDifference", () => {
  it("is relative to the largest value, and infinite for other types, dimensions or NaN", () => {
    expect(largestDifference(float32([2], [1, 4]), float32([2], [1, 4.5]))).toBe(0.125);
    expect(largestDifference(float32([1], [Number.NaN]), float32([1], [Number.NaN]))).toBe(0);
    expect(largestDifference(float32([1], [Number.NaN]), float32([1], [0]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), float32([], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), int64([1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), undefined)).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(int64([1], [1]), int64([1], [2]))).toBe(Number.POSITIVE_INFINITY);
  });
});

it("allows more rounding in float16", () => {
  expect(toleranceOf(model("(x: float16[n]) -> (y: float16[n]) {\n  y = Relu(x)\n}"))).toBeGreaterThan(1e-3);
});
