/** Bias correction restores the means of a layer's outputs for every layer that accepts a bias. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { biasStage } from "../../../src/techniques/recover/recover.ts";
import { value } from "../../find.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../shared.ts";
import { apart, change, network, numbers, samples, scopeOf } from "./networks.ts";

const dense = { "fc.weight": [4, 6], "fc.bias": [4] };
const shifted = (one: number, index: number): number => one + 1 + index;

describe("a shifted bias is restored", () => {
  const rows = samples([48, 6]);
  const images = samples([24, 3, 5, 5]);
  const cases = [
    [
      "of a product with a bias",
      rows,
      network("x: float32[n, 6]", "y: float32[n, 4]", dense, "  y = Gemm(x, fc.weight, fc.bias) {transB=1}"),
      "fc.bias",
    ],
    [
      "of a sum behind a product",
      rows,
      network(
        "x: float32[n, 6]",
        "y: float32[n, 4]",
        { "fc.weight": [6, 4], "fc.bias": [4] },
        "  h = MatMul(x, fc.weight)\n  s = Add(fc.bias, h)\n  y = Relu(s)",
      ),
      "fc.bias",
    ],
    [
      "of a convolution in groups, and of one behind it",
      images,
      network(
        "x: float32[n, 3, 5, 5]",
        "y: float32[n, 2, 3, 3]",
        { "a.weight": [6, 1, 3, 3], "a.bias": [6], "b.weight": [2, 6, 1, 1], "b.bias": [2] },
        "  h = Conv(x, a.weight, a.bias) {group=3}\n  r = Relu(h)\n  y = Conv(r, b.weight, b.bias)",
      ),
      "a.bias",
    ],
  ] as const;

  test.each(cases)("%s", async (_, data, original, bias) => {
    const changed = original.clone();
    await change(changed, bias, shifted);
    expect(await apart(original, changed, data)).toBeGreaterThan(0.1);
    const outcome = await biasStage.run(changed, await scopeOf(changed, original, data));
    expect(outcome.changed).toBe(1);
    expect(await apart(original, changed, data)).toBeLessThan(1e-5);
    expect(verify(changed)).toEqual([]);
  });
});

test("restores the scale of a convolution's channels, as a batch normalization would", async () => {
  const original = network(
    "x: float32[n, 3, 5, 5]",
    "y: float32[n, 2, 3, 3]",
    { "a.weight": [4, 3, 3, 3], "a.bias": [4], "b.weight": [2, 4, 1, 1] },
    "  h = Conv(x, a.weight, a.bias)\n  r = Relu(h)\n  y = Conv(r, b.weight)",
  );
  const changed = original.clone();
  const factors = [0.6, 1.5, 1, 0.9];
  await change(changed, "a.weight", (one, index) => one * (factors[Math.floor(index / 27)] ?? 1));
  const data = samples([24, 3, 5, 5]);
  expect(await apart(original, changed, data)).toBeGreaterThan(0.05);
  await biasStage.run(changed, await scopeOf(changed, original, data));
  expect(await apart(original, changed, data)).toBeLessThan(1e-5);
});

describe("adds a bias to a layer without one", () => {
  test.each([
    ["as its input", "  y = Conv(x, a.weight)", { "a.weight": [2, 3, 1, 1] }, [24, 3, 4, 4], "[n, 2, 4, 4]"],
    ["as a sum behind it", "  y = MatMul(x, a.weight)", { "a.weight": [4, 2] }, [24, 3, 4], "[n, 3, 2]"],
  ] as const)("%s", async (_, nodes, weights, dims, result) => {
    const feed = `x: float32[n, ${dims.slice(1).join(", ")}]`;
    const original = network(feed, `y: float32${result}`, weights, nodes);
    const changed = original.clone();
    await change(changed, "a.weight", (one) => one + 1);
    // The means are far from 0, so that a change of the weights shifts the output.
    const data = samples(dims);
    const { x } = await data.gather(Uint32Array.from({ length: data.count }, (_, at) => at));
    if (x?.type !== "float32") throw new Error("no x");
    const far = memory("far", {
      x: float32(
        dims,
        x.data.map((one) => one + 5),
      ),
    });
    const before = await apart(original, changed, far);
    const outcome = await biasStage.run(changed, await scopeOf(changed, original, far));
    expect(outcome.changed).toBe(1);
    expect(await apart(original, changed, far)).toBeLessThan(before / 2);
    expect(verify(changed)).toEqual([]);
    expect(changed.graph.outputs.map(({ name }) => name)).toEqual(["y"]);
    // A second correction changes nothing.
    expect((await biasStage.run(changed, await scopeOf(changed, original, far))).changed).toBe(0);
  });
});

test("corrects a quantized bias by whole quantization steps", async () => {
  const text = (codes: string) => `opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  fc.weight: float32[2, 2] = [[1, 2], [3, -1]]
  codes: int32[2] = [${codes}]
  scale: float32[2] = [0.25, 0.5]
  zero: int32[2] = [0, 0]
  fc.bias = DequantizeLinear(codes, scale, zero) {axis=0}
  y = Gemm(x, fc.weight, fc.bias)
}`;
  const [original, changed] = [parseModel(text("10, -4")), parseModel(text("3, 8"))];
  await biasStage.run(changed, await scopeOf(changed, original, samples([16, 2])));
  expect((await value(changed, "codes").tensor?.read())?.data).toEqual(Int32Array.of(10, -4));
});

test("compares layers with pruned channels on the remaining channels", async () => {
  const weights = { "a.weight": [5, 3, 1, 1], "a.bias": [5] };
  const original = network(
    "x: float32[n, 3, 2, 2]",
    "y: float32[n, 5, 2, 2]",
    weights,
    "  y = Conv(x, a.weight, a.bias)",
  );
  const [w, b] = [await numbers(original, "a.weight"), await numbers(original, "a.bias")];
  const kept = [0, 2, 3];
  const cut = network(
    "x: float32[n, 3, 2, 2]",
    "y: float32[n, 3, 2, 2]",
    { "a.weight": [3, 3, 1, 1], "a.bias": [3] },
    "  y = Conv(x, a.weight, a.bias)",
  );
  const rows = kept.flatMap((channel) => [...w.subarray(3 * channel, 3 * channel + 3)]);
  value(cut, "a.weight").tensor = inMemory(float32([3, 3, 1, 1], rows));
  const scope = await scopeOf(cut, original, samples([16, 3, 2, 2]));
  expect(scope.match.layers).toMatchObject([{ kept }]);
  await biasStage.run(cut, scope);
  const biases = await numbers(cut, "a.bias");
  kept.forEach((channel, at) => {
    expect(biases[at]).toBeCloseTo(b[channel] ?? 0, 5);
  });
  // If the weights differ, channels cannot be mapped to the original.
  await change(cut, "a.weight", (one) => one * 1.01);
  const { match } = await scopeOf(cut, original, samples([16, 3, 2, 2]));
  expect(match.layers).toEqual([]);
  expect(match.misses).toMatchObject([{ at: "a", reason: expect.stringContaining("cannot map") }]);
});

interface Golden {
  readonly bias_correction: readonly Readonly<
    Record<"W" | "b" | "X" | "W_quantized" | "X_quantized" | "bias_after", GoldenTensor>
  >[];
}
const goldenCases = golden<Golden>("quantization")?.bias_correction;

test.skipIf(goldenCases === undefined)("matches golden values for rounded weights after a rounded input", async () => {
  const [goldenCase] = goldenCases ?? [];
  if (goldenCase === undefined) throw new Error("no case");
  const [outputs = 0, inputs = 0] = goldenCase.W.shape;
  const set = (text: string, weight: GoldenTensor) => {
    const model = network(
      `x: float32[n, ${inputs}]`,
      `y: float32[n, ${outputs}]`,
      { "fc.weight": [outputs, inputs], "fc.bias": [outputs] },
      text,
    );
    value(model, "fc.weight").tensor = inMemory(float32(weight.shape, goldenNumbers(weight)));
    value(model, "fc.bias").tensor = inMemory(float32(goldenCase.b.shape, goldenNumbers(goldenCase.b)));
    return model;
  };
  const original = set("  y = Gemm(x, fc.weight, fc.bias) {transB=1}", goldenCase.W);
  const rounded = `  step: float32[] = 0.125\n  zero: int8[] = 0\n  q = QuantizeLinear(x, step, zero)\n  d = DequantizeLinear(q, step, zero)\n`;
  const changed = set(`${rounded}  y = Gemm(d, fc.weight, fc.bias) {transB=1}`, goldenCase.W_quantized);
  const data = memory("golden", { x: float32(goldenCase.X.shape, goldenNumbers(goldenCase.X)) });
  await biasStage.run(changed, await scopeOf(changed, original, data));
  const biases = await numbers(changed, "fc.bias");
  goldenNumbers(goldenCase.bias_after).forEach((wanted, at) => {
    expect(biases[at]).toBeCloseTo(wanted, 5);
  });
});
