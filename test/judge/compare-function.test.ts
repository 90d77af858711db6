/** Comparison of a changed model with its original on random inputs: equal, lost, or not comparable. */
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text-parse.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import {
  type CompareOptions,
  compareFunction,
  compareOnSamples,
  compareRuns,
  functionLossTextOf,
} from "../../src/judge/compare/compare-function.ts";
import { createJudgeWithoutData } from "../../src/judge/fallback/fallback-samples.ts";
import type { PairedRun } from "../../src/runtime/paired/paired-runs.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { trained } from "./blobs.ts";

const options: CompareOptions = {
  output: undefined,
  seed: 0,
  signal: new AbortController().signal,
  progress: () => {},
};
const compare = (original: Model, result: Model, given: Partial<CompareOptions> = {}) =>
  compareFunction(createEngine(), original, result, { ...options, ...given });
const lostOf = async (original: Model, result: Model): Promise<string | undefined> => {
  const comparison = await compare(original, result);
  return typeof comparison === "string" ? `not compared: ${comparison}` : comparison.lost;
};
const line = (body: string, types = "x: float32[batch, 4]) -> (y: float32[batch, 4]") =>
  parseModel(`opset 21\ngraph (${types}) {\n  ${body}\n}`);

const noise = random(0, "rows");
let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("an output of boxes and scores", () => {
  const detector = (scale: number, join = "y = Concat(b, s) {axis=1}") =>
    line(
      `size: float32[] = 640
  scale: float32[] = ${scale}
  u = Sigmoid(boxes)
  b = Mul(u, size)
  v = Sigmoid(scores)
  s = Mul(v, scale)
  ${join}`,
      "boxes: float32[batch, 4, 8], scores: float32[batch, 5, 8]) -> (y: float32[batch, 9, 8]",
    );

  test("is lost if its scores are, and names them", async () => {
    const lost = await lostOf(detector(1), detector(0));
    expect(lost).toContain('output "y[:, 4:9]": on random inputs the signal to noise is');
    expect(await lostOf(detector(1), detector(0.9))).toBeUndefined();
  });

  test("is divided by the scales of its values if no Concat joins it", async () => {
    const padded = `pb: int64[6] = [0, 0, 0, 0, 5, 0]
  ps: int64[6] = [0, 4, 0, 0, 0, 0]
  wide = Pad(b, pb)
  low = Pad(s, ps)
  y = Add(wide, low)`;
    expect(await lostOf(detector(1, padded), detector(0, padded))).toContain('output "y[:, 4:9]"');
  });
});

describe("an output with a large common part, on samples", () => {
  const samples = memory("rows", {
    x: float32(
      [32, 4],
      Float32Array.from({ length: 128 }, () => noise.normal()),
    ),
  });
  const shifted = (factor: number, offset: number) =>
    line(`scaled = Mul(x, factor)\n  y = Add(scaled, offset)\n  factor: float32[1] = [${factor}]
  offset: float32[1] = [${offset}]`);
  const lossFrom = (original: Model, result: Model) =>
    compareOnSamples({ engine: createEngine(), original, result }, samples).then(functionLossTextOf);

  test("is lost if nothing but the common part is left, however small its variation is", async () => {
    expect(await lossFrom(shifted(1, 300), shifted(0.1, 300))).toContain("at least 3 dB are required");
    expect(await lossFrom(shifted(1, 10), shifted(-0.1, 10))).toContain("at least 3 dB are required");
  });

  test("is kept if most of the variation is left, or if it varies by no more than rounding", async () => {
    expect(await lossFrom(shifted(1, 300), shifted(0.8, 300))).toBeUndefined();
    expect(await lossFrom(shifted(0.1, 300), shifted(0, 300))).toBeUndefined();
  });
});

describe("a classifier", () => {
  test.each(["weights", "dynamic", "float16"] as const)("keeps its function in %s", async (scheme) => {
    const copy = net.clone();
    await quantize(copy, { scheme });
    expect(await compare(net, copy)).toMatchObject({ samples: 32, lost: undefined });
  });

  test("equals itself, with the same metric values for the same seed", async () => {
    expect(await compare(net, net.clone())).toEqual({
      samples: 32,
      signalToNoise: Number.POSITIVE_INFINITY,
      relativeError: 0,
      lost: undefined,
    });
    const copy = net.clone();
    await quantize(copy, { scheme: "weights" });
    const figures = [await compare(net, copy), await compare(net, copy), await compare(net, copy, { seed: 1 })];
    expect(figures[1]).toEqual(figures[0]);
    expect(figures[2]).not.toEqual(figures[0]);
  });

  test("keeps its function without a fifth of its weights, but not without all", async () => {
    const [some, all] = [net.clone(), net.clone()];
    await prune(some, { amount: 0.2 });
    await prune(all, { amount: 1 });
    expect(await lostOf(net, some)).toBeUndefined();
    expect(await lostOf(net, all)).toMatch(
      /^on random inputs the signal to noise is \S+ dB, at least 3 dB are required; the result agrees with the original on \d+ of 32 samples \(a constant prediction would reach \d+\.\d %\)$/,
    );
  });
});

test("ignores sizes that depend on values, such as one box more or less", async () => {
  const kept = (least: number) =>
    line(
      `limit: float32[] = ${least}\n  b = Greater(x, limit)\n  y = Compress(x, b)`,
      "x: float32[8]) -> (y: float32[k]",
    );
  expect(await compare(kept(0), kept(0.1))).toMatch(/^the shape of its output depends on the values of its inputs/);
});

describe("a model with numeric outputs", () => {
  const field = "x: float32[batch, 2, 2]) -> (y: float32[batch, 2, 2]";

  test("is lost although some outputs are masked with the minimum of the type", async () => {
    const masked = (scale: number) =>
      line(
        `c: float32[] = ${scale}
  kept: bool[2] = [true, false]
  low: float32[] = -3.4028234663852886e38
  numbers = Mul(x, c)
  y = Where(kept, numbers, low)`,
        field,
      );
    expect(await lostOf(masked(1), masked(1.01))).toBeUndefined();
    expect(await lostOf(masked(1), masked(-1))).toContain("real samples can give another result");
  });

  test("is lost if a constant is as near, or if it outputs NaN", async () => {
    const original = line("two: float32[] = 2\n  y = Mul(x, two)", field);
    expect(await lostOf(original, line("two: float32[] = 1.9\n  y = Mul(x, two)", field))).toBeUndefined();
    expect(await lostOf(original, line("zero: float32[] = 0\n  y = Mul(x, zero)", field))).toMatch(
      /signal to noise is −0\.\d+ dB, at least 3 dB are required; real samples can give another result$/,
    );
    expect(await lostOf(original, line("zero: float32[] = 0\n  y = Div(x, zero)", field))).toContain("is not a number");
  });

  test("can differ by rounding if the original is constant", async () => {
    const original = line("tiny: float32[] = 1e-7\n  one: float32[] = 1\n  z = Mul(x, tiny)\n  y = Add(z, one)", field);
    const result = line("zero: float32[] = 0\n  one: float32[] = 1\n  z = Mul(x, zero)\n  y = Add(z, one)", field);
    expect(await lostOf(original, result)).toBeUndefined();
    expect(await compare(original, result)).toMatchObject({ lost: undefined, unmoved: "nearly equal" });
    expect(await compare(result, original)).toMatchObject({ lost: undefined, unmoved: "equal" });
  });

  test("is lost if its output has other dimensions", async () => {
    const flat = line("y = Flatten(x)", "x: float32[batch, 2, 2]) -> (y: float32[batch, 4]");
    expect(await lostOf(line("y = Relu(x)", field), flat)).toMatch(/output "y" is \[8, 4\] instead of \[8, 2, 2\]$/);
  });
});

describe("the shape of outputs", () => {
  const two = (body: string, types = "float32[batch, 4], z: float32[batch, 4]") =>
    line(body, `x: float32[batch, 4]) -> (y: ${types}`);
  const original = () => two("y = Relu(x)\n  z = Neg(x)");
  const rows = (count: number) =>
    memory("rows", {
      x: float32(
        [count, 4],
        Float32Array.from({ length: 4 * count }, (_, at) => Math.sin(at)),
      ),
    });
  const ruined: readonly [string, () => Model, string][] = [
    ["is missing", () => two("y = Relu(x)\n  n = Neg(x)", "float32[batch, 4]"), 'the result has no output "z"'],
    [
      "has lost an axis",
      () => two("y = Relu(x)\n  s: int64[1] = [-1]\n  z = Reshape(x, s)", "float32[batch, 4], z: float32[m]"),
      'on random inputs output "z" is [32] instead of [8, 4]',
    ],
    [
      "has another type",
      () => two("y = Relu(x)\n  n = Neg(x)\n  z = Cast(n) {to=10}", "float32[batch, 4], z: float16[batch, 4]"),
      'on random inputs output "z" is float16[8, 4] instead of float32[8, 4]',
    ],
  ];

  test.each(ruined)("is lost if an output %s", async (_, result, text) => {
    expect(await lostOf(original(), result())).toBe(text);
    const elsewhere = await compare(original(), result(), { output: "y" });
    expect(elsewhere).toMatchObject({ lost: text, otherForm: true });
  });

  test.each(ruined)("is lost on samples if an output %s, whichever values are compared", async (_, result, text) => {
    for (const values of ["all", "all but the answer", "none"] as const)
      for (const output of [undefined, "y"]) {
        const comparison = await compareOnSamples(
          { engine: createEngine(), original: original(), result: result() },
          rows(40),
          { values, output },
        );
        expect(functionLossTextOf(comparison)).toContain(text.replace("on random inputs ", "").replace(/ is .*/, ""));
      }
  });

  test("is lost if the result leaves out the leading axis of a single output", async () => {
    const before = line("a: int64[1] = [0]\n  y = Unsqueeze(x, a)", "x: float32[n, 4]) -> (y: float32[1, n, 4]");
    const after = line("y = Relu(x)", "x: float32[n, 4]) -> (y: float32[n, 4]");
    for (const count of [1, 40]) {
      const comparison = await compareOnSamples(
        { engine: createEngine(), original: before, result: after },
        rows(count),
        { values: "all but the answer" },
      );
      expect(functionLossTextOf(comparison)).toBe('on the samples output "y" is [1, 4] instead of [1, 1, 4]');
    }
  });

  test("is not lost if only values that are not compared differ", async () => {
    const result = two("y = Relu(x)\n  z = Abs(x)");
    const compared = (options: object) =>
      compareOnSamples({ engine: createEngine(), original: original(), result }, rows(40), options).then(
        functionLossTextOf,
      );
    expect(await compared({ values: "none" })).toBeUndefined();
    expect(await compared({ values: "all", output: "y" })).toBeUndefined();
    expect(await compared({ values: "all but the answer" })).toMatch(/^output "z": on the samples/);
  });
});

describe("a model whose outputs hardly depend on random inputs", () => {
  /** Builds a model with a bias so large that the input hardly changes the output. */
  const stuck = () =>
    line(
      `w: float32[4, 6] = random(seed 1)
  b: float32[6] = [1, 2, 3, 4, 5, 6]
  c: float32[] = 1e-4
  h = Tanh(x)
  s = Mul(h, c)
  y = Gemm(s, w, b)`,
      "x: float32[batch, 4]) -> (y: float32[batch, 6]",
    );

  test("is not lost if the result is near, and the relative error is reported", async () => {
    for (const scheme of ["weights", "dynamic"] as const) {
      const copy = stuck();
      await quantize(copy, { scheme });
      const comparison = await compare(stuck(), copy);
      expect(comparison).toMatchObject({ samples: 32, lost: undefined, unmoved: "nearly equal" });
      if (typeof comparison === "object") expect(comparison.relativeError).toBeLessThan(0.02);
    }
    const half = stuck();
    await prune(half, { amount: 0.5 });
    expect(await lostOf(stuck(), half)).toBeUndefined();
  });

  test("is not lost if the original predicts one class and the result is near", async () => {
    const biased = (class0: number) =>
      line(
        `b: float32[4] = [${class0}, 0, 0, 0]
  y = Add(x, b)`,
      );
    expect(await compare(biased(6), biased(5))).toMatchObject({ lost: undefined, unmoved: "one class" });
    expect(await lostOf(biased(0), line("y = Neg(x)"))).toContain("agrees with");
  });

  test("is lost if the two are far apart, such as with one bit per weight", async () => {
    const layers = [1, 2, 3].map((at) => `w${at}: float32[16, 16] = random(seed ${at})`).join("\n");
    const deep = () =>
      line(
        `${layers}
  one: float32[16] = [1, -1, 2, 1, 3, -2, 1, 1, 4, 1, -1, 2, 1, 1, 5, 1]
  c: float32[] = 1e-4
  t = Tanh(x)
  s = Mul(t, c)
  h = Add(s, one)
  a = MatMul(h, w1)
  b = MatMul(a, w2)
  y = MatMul(b, w3)`,
        "x: float32[batch, 16]) -> (y: float32[batch, 16]",
      );
    const coarse = deep();
    await quantize(coarse, { scheme: "weights", weights: "palette", bits: 1 });
    expect(await compare(deep(), coarse)).toMatchObject({
      lost: expect.stringMatching(
        /^on random inputs, which hardly move the original, the result is \d+ % apart from it$/,
      ),
      unmoved: "nearly equal",
    });
    for (const bits of [8, 4] as const) {
      const fine = deep();
      await quantize(fine, { scheme: "weights", bits });
      expect(await lostOf(deep(), fine)).toBeUndefined();
    }
  });

  describe("with a Sigmoid output near 0", () => {
    /** Builds a detector whose Sigmoid inputs vary by a few units around −20. */
    const detector = (weights = "random(seed 1)", then = "y = Sigmoid(b)", types = "y: float32[batch, 8]") =>
      line(
        `w: float32[4, 8] = ${weights}
  c: float32[] = 2
  bias: float32[] = -20
  h = MatMul(x, w)
  s = Mul(h, c)
  b = Add(s, bias)
  ${then}`,
        `x: float32[batch, 4]) -> (${types}`,
      );

    test("is compared by the inputs of the Sigmoid", async () => {
      const coarse = detector();
      await quantize(coarse, { scheme: "weights", weights: "palette", bits: 3 });
      const comparison = await compare(detector(), coarse);
      expect(comparison).toMatchObject({ samples: 32, lost: undefined, output: "y before saturation" });
      const signal = typeof comparison === "object" && comparison.unmoved === undefined ? comparison.signalToNoise : 0;
      expect(signal).toBeGreaterThan(3);
      // The comparison adds outputs only to copies of the model.
      expect(coarse.graph.outputs.map(({ name }) => name)).toEqual(["y"]);
    });

    test("is lost if all weights are removed, with the output's name among several", async () => {
      expect(await lostOf(detector(), detector("random(seed 2)"))).toMatch(
        /^output "y before saturation": on random inputs the signal to noise is −3\.\d+ dB, at least 3 dB are required/,
      );
      const two = (weights?: string) =>
        detector(weights, "y = Sigmoid(b)\n  z = Relu(x)", "y: float32[batch, 8], z: float32[batch, 4]");
      expect(await lostOf(two(), two("random(seed 2)"))).toMatch(/^output "y before saturation": on random inputs/);
      const asked = await compare(two(), two("random(seed 2)"), { output: "z" });
      expect(asked).toMatchObject({ output: "z", relativeError: 0 });
    });

    test("is lost only if far apart, if Sigmoid inputs are missing in a model", async () => {
      const other = (share: string) => line(`c: float32[] = ${share}\n  h = Mul(x, c)\n  y = Sin(h)`);
      const still = line("c: float32[] = -20\n  z: float32[] = 0\n  h = Mul(x, z)\n  b = Add(h, c)\n  y = Sigmoid(b)");
      expect(await lostOf(still, other("1e-6"))).toBeUndefined();
      expect(await lostOf(still, other("1"))).toMatch(/which hardly move the original, the result is \d+ % apart/);
    });
  });

  test("is lost if the result is NaN", async () => {
    const zero = line("z: float32[] = 0\n  y = Mul(x, z)");
    const nan = line("z: float32[] = 0\n  h = Mul(x, z)\n  y = Div(h, z)");
    expect(await lostOf(zero, nan)).toContain("is not a number");
  });

  test("compares a network of filters on images of bytes", async () => {
    const images = line(
      `c: float32[] = 255
  w: float32[16, 3, 3, 3] = random(seed 1)
  v: float32[16, 10] = random(seed 2)
  f = Cast(x) {to=1}
  d = Div(f, c)
  t = Transpose(d) {perm=[0, 3, 1, 2]}
  k = Conv(t, w)
  r = Relu(k)
  g = GlobalAveragePool(r)
  l = Flatten(g)
  y = MatMul(l, v)`,
      "x: uint8[batch, 32, 32, 3]) -> (y: float32[batch, 10]",
    );
    const some = images.clone();
    await prune(some, { amount: 0.3 });
    const comparison = await compare(images, some);
    expect(comparison).toMatchObject({ lost: undefined });
    if (typeof comparison === "object") expect(comparison.signalToNoise).toBeGreaterThan(0);
  });
});

test.each([-1e9, -1e4])("outputs that a mask sets to %d do not hide that the others are lost", async (fill) => {
  const masked = (scores: string) =>
    line(
      `zero: float32[] = 0
  fill: float32[] = ${fill}
  none: float32[] = 0
  hidden = Greater(m, none)
  s = ${scores}
  y = Where(hidden, fill, s)`,
      "x: float32[batch, 4], m: float32[batch, 4]) -> (y: float32[batch, 4]",
    );
  expect(await lostOf(masked("Neg(x)"), masked("Mul(x, zero)"))).toMatch(/real samples can give another result/);
  expect(await lostOf(masked("Neg(x)"), masked("Neg(x)"))).toBeUndefined();
});

describe("a model with several outputs", () => {
  const two = (aux: string, y: string, types = "aux: float32[batch, 4], y: float32[batch, 4]") =>
    line(
      `one: float32[] = 1
  nearly: float32[] = 1.1
  zero: float32[] = 0
  k: int64[1] = [2]
  fixed: float32[4] = [1, 2, 3, 4]
  many: float32[] = 1e4
  aux = ${aux}
  y = ${y}`,
      `x: float32[batch, 4]) -> (${types}`,
    );
  const original = two("Relu(x)", "Neg(x)");

  test.each(["Relu(x)", "Mul(x, many)", "Identity(fixed)"])(
    "is judged by its worst output next to %s, which is named",
    async (first) => {
      const types = "aux: float32[...], y: float32[batch, 4]";
      const comparison = await compare(two(first, "Neg(x)", types), two(first, "Mul(x, zero)", types));
      expect(comparison).toMatchObject({ output: "y", outputs: 2, lost: expect.stringMatching(/^output "y": on/) });
      const near = await compare(two(first, "Identity(x)", types), two(first, "Mul(x, nearly)", types));
      expect(near).toMatchObject({ output: "y", lost: undefined, signalToNoise: expect.closeTo(20, 0) });
    },
  );

  test("is equal only if each output is, including constants of zero", async () => {
    const zero = two("Mul(x, zero)", "Neg(x)");
    expect(await compare(zero, zero.clone())).toMatchObject({ relativeError: 0, lost: undefined, outputs: 2 });
    expect(await compare(zero, zero.clone())).not.toHaveProperty("unmoved");
    expect(await lostOf(two("Neg(x)", "Relu(x)"), two("Mul(x, zero)", "Relu(x)"))).toContain('output "aux"');
  });

  test("is judged only by the requested output", async () => {
    const result = two("Relu(x)", "Mul(x, zero)");
    expect(await compare(original, result, { output: "aux" })).toMatchObject({
      output: "aux",
      outputs: 1,
      relativeError: 0,
      lost: undefined,
    });
    expect(await compare(original, result, { output: "y" })).toMatchObject({ lost: expect.any(String) });
  });

  test("is lost if classes next to numbers differ; data-dependent outputs are not compared", async () => {
    const types = "aux: float32[batch, 4], y: int64[...]";
    const picks = (op: string) => two("Relu(x)", `${op}(x) {axis=1, keepdims=0}`, types);
    expect(await lostOf(picks("ArgMax"), picks("ArgMin"))).toContain('output "y": on random inputs the result agrees');
    const places = (of: string) => two("Relu(x)", `NonZero(${of})`, types);
    expect(await compare(places("aux"), places("x"))).toMatchObject({ lost: undefined, uncompared: ["y"] });
  });
});

test("compares integer outputs by their values", async () => {
  const picks = (op: string) => line(`y = ${op}(x) {axis=1, keepdims=0}`, "x: float32[batch, 4]) -> (y: int64[batch]");
  expect(await compare(picks("ArgMax"), picks("ArgMax"))).toMatchObject({ samples: 32, same: 1, lost: undefined });
  expect(await compare(picks("ArgMax"), picks("ArgMin"))).toMatchObject({ same: 0 });
  expect(await lostOf(picks("ArgMax"), picks("ArgMin"))).toContain("agrees with the original on 0 of 32");
});

describe("models that cannot be compared:", () => {
  test.each([
    [
      "texts",
      "y = Identity(x)",
      "x: string[batch, 4]) -> (y: string[batch, 4]",
      'no random numbers can be drawn for input "x"',
    ],
    ["what is no number", "z = Sub(x, x)\n  y = Div(z, z)", undefined, "its output is not a number on random inputs"],
    [
      "what runs on nothing",
      "s: int64[2] = [7, 9]\n  y = Reshape(x, s)",
      undefined,
      /^the original ran on none of the random inputs: /,
    ],
    [
      "a value of gigabytes",
      "s: int64[1] = [700000000]\n  y = Expand(x, s)",
      "x: float32[1]) -> (y: float32[700000000]",
      'the original ran on none of the random inputs: value "y" takes 2.80 GB, and a comparison runs models with values of at most 2.15 GB',
    ],
  ])("%s", async (_, body, types, reason) => {
    const model = line(body, types);
    const comparison = await compare(model, model.clone());
    if (typeof reason === "string") expect(comparison).toBe(reason);
    else expect(comparison).toMatch(reason);
  });

  test("throws for results that do not load, and reports results or originals that fail", async () => {
    const rejected = line("s: float32[2, 2] = [1, 2, 3, 4]\n  y = Reshape(x, s)");
    const failing = line("s: int64[2] = [7, 9]\n  y = Reshape(x, s)");
    const fine = line("y = Relu(x)");
    await expect(compare(fine, rejected)).rejects.toMatchObject({
      code: "E_ENGINE",
      message: expect.stringMatching(/^The result does not load: /),
    });
    expect(await lostOf(fine, failing)).toMatch(/^the result does not run: /);
    expect(await compare(rejected, fine)).toMatch(/^the original does not run: /);
    await expect(compare(fine, fine.clone(), { output: "z" })).rejects.toMatchObject({ code: "E_DATA" });
  });

  test("the comparison stops on the signal", async () => {
    const signal = AbortSignal.abort();
    await expect(compare(net, net.clone(), { signal })).rejects.toMatchObject({ code: "E_STOPPED" });
  });
});

describe("a comparison on few samples", () => {
  const draw = random(3, "rows");
  const mlp = `opset 21
graph (x: float32[n, 16]) -> (y: float32[n, 10]) {
  a.weight: float32[16, 64] = random(seed 1)
  b.weight: float32[64, 10] = random(seed 2)
  h = MatMul(x, a.weight)
  r = Relu(h)
  y = MatMul(r, b.weight)
}`;
  const samples = (count: number) =>
    memory("rows", {
      x: float32(
        [count, 16],
        Float32Array.from({ length: 16 * count }, () => 0.1 * draw.uniform()),
      ),
    });

  test("judges a static result on them, because random inputs exceed the measured ranges", async () => {
    const [original, result] = [parseModel(mlp), parseModel(mlp)];
    await quantize(result, { scheme: "static", data: samples(24) });
    expect(await lostOf(original, result)).toMatch(/^on random inputs the signal to noise is/);
    const comparison = await compareOnSamples({ engine: createEngine(), original, result }, samples(12));
    expect(comparison).toMatchObject({ samples: 12, ofData: true, lost: undefined });
  });

  test.each([
    [12, /^on the samples the signal to noise is −\d.* dB, at least 3 dB are required/],
    [2, /^on the samples the result is 100 % apart from the original$/],
  ])("reports a pruned model without weights as lost on %i samples", async (count, text) => {
    const [original, result] = [parseModel(mlp), parseModel(mlp)];
    await prune(result, { amount: 1 });
    const comparison = await compareOnSamples({ engine: createEngine(), original, result }, samples(count));
    expect(functionLossTextOf(comparison)).toMatch(text);
  });

  test("does not report two near models as lost", async () => {
    const [original, result] = [parseModel(mlp), parseModel(mlp)];
    await prune(result, { amount: 0.2 });
    expect(await compareOnSamples({ engine: createEngine(), original, result }, samples(2))).toMatchObject({
      lost: undefined,
    });
  });

  test("compares models with random numbers on the same draws, unless the result draws others", async () => {
    const noisy = (body: string) => line(`r = RandomNormalLike(x)\n  ${body}`);
    const rows = memory("rows", { x: float32([8, 4], new Float32Array(32)) });
    const compared = (result: Model) =>
      compareOnSamples({ engine: createEngine(), original: noisy("y = Add(x, r)"), result }, rows);
    // An additional node before it changes the seed of the generator.
    const moved = noisy("n = Neg(x)\n  m = Neg(n)\n  y = Add(m, r)");
    expect(await compared(moved)).toMatchObject({ relativeError: 0, lost: undefined });
    expect(await compared(noisy("h: float32[] = 2\n  s = Mul(r, h)\n  y = Sub(x, s)"))).toMatchObject({
      lost: expect.stringMatching(/which hardly move the original, the result is \d+ % apart/),
    });
    const otherDraws = line("q = RandomNormalLike(x)\n  y = Add(x, q)");
    expect(await compared(otherDraws)).toBe("the model draws random numbers, and the result draws other ones");
  });

  test("does not count the random numbers of a model as its signal", async () => {
    const noisy = (body: string) => line(`r = RandomNormalLike(x) {scale=5.0}\n  ${body}\n  y = Add(z, r)`);
    const factor = (value: number) => noisy(`f: float32[] = ${value}\n  z = Mul(x, f)`);
    const original = noisy("z = Identity(x)");
    expect(await lostOf(original, factor(0))).toMatch(/real samples can give another result|agrees with/);
    expect(await compare(original, factor(0.9))).toMatchObject({
      lost: undefined,
      signalToNoise: expect.closeTo(20, -1),
    });
  });

  test("compares texts of different lengths by the variation over all positions", () => {
    const texts = (noise: number) => {
      const relu = line("y = Relu(x)");
      const pairs: PairedRun[] = [];
      for (const length of [3, 5, 4]) {
        const numbers = Float32Array.from({ length: 2 * length * 4 }, (_, at) => 10 * (at % 4) + draw.normal());
        const [before, after] = [numbers, numbers.map((value) => value + noise * draw.normal())].map((data) =>
          float32([2, length, 4], data),
        );
        if (before !== undefined && after !== undefined)
          pairs.push({ feeds: { x: before }, samples: 2, expected: { y: before }, actual: { y: after } });
      }
      const runs = { pairs, without: [], original: relu, result: relu, otherDraws: undefined };
      return compareRuns(runs, memory("texts", { x: float32([1], [0]) })).likeness;
    };
    // Differences along the last axis are not variation over samples.
    expect(texts(0.1)).toMatchObject({ samples: 6, signalToNoise: expect.closeTo(20, -0.5) });
    expect(functionLossTextOf(texts(2))).toContain("a constant would be as close");
  });
});

test("reports an empty output as not compared", async () => {
  const body = "s: int64[1] = [0]\n  a: int64[1] = [1]\n  y = Relu(x)\n  e = Slice(x, s, s, a)\n  none = IsNaN(e)";
  const model = line(body, "x: float32[batch, 4]) -> (y: float32[batch, 4], none: bool[batch, 0]");
  expect(await compare(model, model.clone())).toMatchObject({ lost: undefined, uncompared: ["none"] });
});

describe("an original that is not finite on some random inputs", () => {
  /** Divides rows by a flag, and adds noise that a sum over the batch spreads from one row to all. */
  const divided = (factor: number, spread = "") =>
    line(
      `scale = Cast(on) {to=1}\n  quotient = Div(x, scale)\n  scaled = Mul(quotient, factor)${spread || "\n  y = Identity(scaled)"}
  factor: float32[1] = [${factor}]`,
      "x: float32[batch, 4], on: bool[batch, 1]) -> (y: float32[batch, 4]",
    );
  const sums =
    "\n  sum = ReduceSum(scaled, axes) {keepdims=1}\n  zero: float32[1] = [0]\n  none = Mul(sum, zero)\n  y = Add(scaled, none)\n  axes: int64[1] = [0]";

  test("is compared on other samples, whose number is stated", async () => {
    expect(await compare(divided(1), divided(1.01, sums))).toMatchObject({
      lost: undefined,
      leftOut: expect.any(Number),
      samples: 32,
      signalToNoise: expect.closeTo(40, 0),
    });
    expect(await compare(divided(1), divided(-1))).toMatchObject({ lost: expect.stringContaining("3 dB") });
  });

  test("is compared on all samples if it is finite on none", async () => {
    const factors = (value: string) => line(`y = Mul(x, c)\n  c: float32[4] = [${value}, 1, 1, 1]`);
    const [ordinary, broken, logs] = [factors("1"), factors("nan"), line("y = Sqrt(x)")];
    expect(await compare(logs, logs.clone())).toMatchObject({ lost: undefined });
    const lost = "on random inputs the result is not a number where the original is";
    expect(await compare(ordinary, broken)).toMatchObject({ lost });
    const search = createJudgeWithoutData(ordinary, undefined, undefined, completeContext({ engine: createEngine() }));
    expect(await search.measure(broken)).toMatchObject({ met: "no", text: lost });
  });
});
