import { describe, expect, it } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { simplify } from "../../rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../runtime/run/difference.ts";
import { requireLoads, watchLoads } from "../../runtime/run/load-check.ts";
import { compareOutputs, toleranceOf } from "./equivalence.ts";

const engine = createEngine();
const options = { sizes: new Map(), set: {}, seed: 1, signal: new AbortController().signal, progress: () => {} };
const model = (text: string) => parseModel(`opset 21\ngraph ${text}`);
const compare = (a: string, b: string, more: Partial<typeof options> = {}) =>
  compareOutputs(engine, model(a), model(b), { ...options, ...more });

const doubled = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  c: float32[] = 2\n  y = Mul(x, c)\n}";

describe("compareOutputs", () => {
  it("finds equal functions equal on several inputs", async () => {
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
    ["the same to every input", "  z: float32[] = 0\n  w: float32[3] = [1, 2, 3]\n  h = Mul(x, z)\n  y = Add(h, w)\n"],
    ["NaN alone", "  z = Sub(x, x)\n  y = Div(z, z)\n"],
  ])("tells that models which say %s were compared on nothing", async (_, body) => {
    const text = `(x: float32[n, 3]) -> (y: float32[n, 3]) {\n${body}}`;
    expect(await compare(text, text)).toMatchObject({ difference: 0, constant: true });
    expect(await compare(text.replaceAll("n, 3", "2, 3"), text.replaceAll("n, 3", "2, 3"))).toMatchObject({
      constant: true,
    });
  });

  it("says how far and where functions are apart that are not equal", async () => {
    const other = doubled.replace("= 2", "= 2.5");
    expect(await compare(doubled, other)).toMatchObject({ at: "y", difference: expect.closeTo(0.25, 5) });
  });

  it("sees differences beside scores that are masked with the smallest number of the type", async () => {
    const masked = (scale: number): string => `(x: float32[n, 3]) -> (y: float32[n, 3]) {
  c: float32[] = ${scale}
  kept: bool[3] = [true, false, true]
  low: float32[] = -3.4028234663852886e38
  scores = Mul(x, c)
  y = Where(kept, scores, low)
}`;
    expect(await compare(masked(2), masked(2))).toMatchObject({ difference: 0 });
    const found = await compare(masked(2), masked(-2));
    expect(found).toMatchObject({ at: "y" });
    if (typeof found !== "string") expect(found.difference).toBeGreaterThan(1);
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

  it("says which of the two does not load, or does not run", async () => {
    const refused = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  s: float32[2] = [1, 2]\n  y = Reshape(x, s)\n}";
    const failing = "(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  s: int64[2] = [7, 9]\n  y = Reshape(x, s)\n}";
    expect(await compare(refused, doubled)).toMatch(/^the original does not run: /);
    await expect(compare(doubled, refused)).rejects.toThrow(/^The result does not load: /);
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
  ])("says why there is no comparison: %s", async (_, text, reason) => {
    const found = await compare(text, text).catch((error: Error) => error.message);
    expect(found).toMatch(reason);
  });
});

/** ONNX Runtime, but for some models: which computes as which other. */
const standingIn = (instead: (given: Model, optimize: boolean) => Model): Engine => ({
  load: (given, load) => engine.load(instead(given, load?.optimize !== false), load),
});

describe("rounding that a network amplifies", () => {
  /** A map of Sigmoid(about -11): 2e-5, of which float32 holds two digits. */
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

  it("is no difference where an output saturates", async () => {
    const [original, folded] = [model(faint(-11)), model(faint(-11))];
    const { changes } = await simplify(folded);
    expect(changes).not.toEqual([]);
    const found = await compareOutputs(engine, original, folded, options);
    expect(found).toMatchObject({ inputs: 4, tolerance: 1e-4 });
    if (typeof found !== "string") expect(found.difference).toBeLessThan(1e-5);
  });

  it.each([
    ["a shift", faint(-11.01)],
    ["a weight", faint(-11).replace("seed 1", "seed 2")],
    ["a scale", faint(-11).replace("= [1]", "= [1.01]")],
    ["a variance", faint(-11).replace("[1.5]", "[1.6]")],
  ])("hides no wrong rewrite where all outputs are about 0: %s", async (_, wrong) => {
    const found = await compare(faint(-11), wrong);
    expect(found).toMatchObject({ at: "y" });
    if (typeof found !== "string") expect(found.difference).toBeGreaterThan(5 * found.tolerance);
  });

  it.each([
    ["Softmax", "y = Softmax(h)"],
    ["Tanh", "y = Tanh(h)"],
    ["a Sigmoid that is reshaped", "p = Sigmoid(h)\n  s: int64[1] = [-1]\n  y = Reshape(p, s)"],
  ])("hides no wrong rewrite behind %s", async (_, end) => {
    const text = (by: number): string =>
      `(x: float32[n, 3]) -> (y: float32[...]) {\n  c: float32[3] = [30, 60, ${by}]\n  h = Add(x, c)\n  ${end}\n}`;
    expect(await compare(text(90), text(90))).toMatchObject({ difference: 0 });
    const found = await compare(text(90), text(91));
    expect(found).toMatchObject({ at: "y" });
    if (typeof found !== "string") expect(found.difference).toBeGreaterThan(found.tolerance);
  });

  const times = (factor: number): string =>
    `(x: float32[n, 3]) -> (y: float32[n, 3]) {\n  c: float32[] = ${factor}\n  y = Mul(x, c)\n}`;

  it.each([
    [1.003, true],
    [1.01, false],
  ])(
    "is as large as the original's own, four times over: %d times the output, when it differs from itself by 0.001",
    async (factor, kept) => {
      const [original, other, asWritten] = [model(times(1)), model(times(factor)), model(times(1.001))];
      const rounding = standingIn((given, optimize) => (given === original && !optimize ? asWritten : given));
      const found = await compareOutputs(rounding, original, other, options);
      expect(found).toMatchObject({ own: expect.closeTo(0.001, 5), tolerance: expect.closeTo(0.004, 4) });
      if (typeof found !== "string") expect(found.difference <= found.tolerance).toBe(kept);
    },
  );
});

it("a result of which the runtime's own optimization fails is said to be that", async () => {
  const [original, other] = [model(doubled), model(doubled)];
  const failing: Engine = {
    load: (given, load) =>
      given === other && load?.optimize !== false
        ? Promise.reject(new PithError("E_ENGINE", "Pad should be smaller than kernel."))
        : engine.load(given, load),
  };
  await expect(compareOutputs(failing, original, other, options)).rejects.toThrow(
    "The result loads without graph optimizations, but not with those of ONNX Runtime: Pad should be smaller than kernel.",
  );
  const watched = watchLoads(failing);
  await expect(requireLoads(watched, other, original)).rejects.toThrow(
    /without graph optimizations, but not with those of ONNX Runtime/,
  );
  await requireLoads(watched, original, original);
});

describe("models that round to codes", () => {
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

  it("are the same where they are node by node, though codes differ when fused: that is said", async () => {
    const [original, other, codes] = [model(rounded), model(rounded), model(rounded.replace("= 2\n", "= 2.01\n"))];
    expect(await compareOutputs(engine, original, other, options)).toMatchObject({ run: "as written", fused: 0 });
    const found = await compareOutputs(fusing(other, codes), original, other, options);
    expect(found).toMatchObject({ run: "as written", difference: 0, tolerance: 1e-4, fused: expect.any(Number) });
    if (typeof found !== "string") expect(found.fused).toBeGreaterThan(1e-3);
  });

  it("are others where a single code differs node by node", async () => {
    const other = model(rounded.replace("= 2\n", "= 2.01\n"));
    const found = await compareOutputs(engine, model(rounded), other, options);
    expect(found).toMatchObject({ run: "as written", tolerance: 1e-4, at: "y" });
    if (typeof found !== "string") expect(found.difference).toBeGreaterThan(found.tolerance);
  });

  it("are others where the runtime makes much more than codes of the difference", async () => {
    const [original, other, far] = [model(rounded), model(rounded), model(rounded.replace("= 2\n", "= 3\n"))];
    const found = await compareOutputs(fusing(other, far), original, other, options);
    expect(found).toMatchObject({ run: "fused", at: "y" });
    if (typeof found !== "string") expect(found.difference).toBeGreaterThan(found.tolerance);
  });
});

describe("difference", () => {
  it("is relative to the largest number, and infinite where something else differs", () => {
    expect(largestDifference(float32([2], [1, 4]), float32([2], [1, 4.5]))).toBe(0.125);
    expect(largestDifference(float32([1], [Number.NaN]), float32([1], [Number.NaN]))).toBe(0);
    expect(largestDifference(float32([1], [Number.NaN]), float32([1], [0]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), float32([], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), int64([1], [1]))).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(float32([1], [1]), undefined)).toBe(Number.POSITIVE_INFINITY);
    expect(largestDifference(int64([1], [1]), int64([1], [2]))).toBe(Number.POSITIVE_INFINITY);
  });
});

it("halves are allowed more rounding", () => {
  expect(toleranceOf(model("(x: float16[n]) -> (y: float16[n]) {\n  y = Relu(x)\n}"))).toBeGreaterThan(1e-3);
});
