/** Hessian-vector products by differences of gradients against what the Hessian is. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { batchNorm, conv2d, dropout, flatten, linear, network, tanh } from "../nn/index.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import type { Batch } from "../tensor/types.ts";
import { hessianVectorProduct } from "./hessian-product.ts";
import { crossEntropy, meanSquaredError } from "./losses/index.ts";
import { createStep, type Step } from "./step.ts";

const draw = random(7, "vectors");
const drawn = (length: number): Float64Array => Float64Array.from({ length }, () => draw.normal());
const like = ({ parameters }: Step): Float64Array[] => parameters.map(({ values }) => drawn(values.length));
const inner = (a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number =>
  a.reduce((sum, part, at) => sum + Array.from(part).reduce((own, one, i) => own + one * (b[at]?.[i] ?? 0), 0), 0);

function expectNear(found: ArrayLike<number> | undefined, wanted: readonly number[], share: number): void {
  const size = Math.hypot(...wanted);
  expect(found?.length).toBe(wanted.length);
  wanted.forEach((one, at) => {
    expect(Math.abs((found?.[at] ?? Number.NaN) - one)).toBeLessThan(share * size);
  });
}

test("of a quadratic: 2 / (samples · outputs) · XᵀX V", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y) {
  w: float32[3, 2] = [[1, 2], [3, 4], [-1, 0.5]]
  y = MatMul "fc" (x, w)
}`);
  const x = [1, -1, 2, 0.5, 2, 0, -1, 1, 3, 2, 2, -2];
  const batch = { x: float32([4, 3], x), label: float32([4, 2], drawn(8)) };
  const step = await createStep(model, batch, { loss: meanSquaredError() });
  const v = drawn(6);
  const wanted = Array.from({ length: 6 }, (_, at) => {
    const [row, column] = [Math.floor(at / 2), at % 2];
    let sum = 0;
    for (let sample = 0; sample < 4; sample++)
      for (let other = 0; other < 3; other++)
        sum += (x[3 * sample + row] ?? 0) * (x[3 * sample + other] ?? 0) * (v[2 * other + column] ?? 0);
    return (2 / 8) * sum;
  });
  const { product, error, distance } = await hessianVectorProduct(step, batch, [v]);
  expectNear(product[0], wanted, 1e-5);
  expect(error).toBeLessThan(1e-5);
  // The same from one pair of gradients.
  const again = await hessianVectorProduct(step, batch, [v], { distance });
  expectNear(again.product[0], wanted, 1e-5);
  expect(again.error).toBeUndefined();
  await step.release();
});

test("of what is curved: the second derivative of (tanh(w x) - t)², and the error it states is about what it is", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y) {
  w: float32[4] = [0.5, -1, 2, 0.1]
  h = Mul(x, w)
  y = Tanh(h)
}`);
  const [w, x, t] = [[0.5, -1, 2, 0.1], drawn(12), drawn(12)];
  const batch = { x: float32([3, 4], x), label: float32([3, 4], t) };
  const step = await createStep(model, batch, { loss: meanSquaredError(), parameters: ["w"] });
  const v = drawn(4);
  const wanted = w.map((own, at) => {
    let sum = 0;
    for (let sample = 0; sample < 3; sample++) {
      const [given, target] = [Math.fround(x[4 * sample + at] ?? 0), Math.fround(t[4 * sample + at] ?? 0)];
      const y = Math.tanh(Math.fround(own) * given);
      const slope = (1 - y * y) * given;
      sum += 2 * (slope * slope + (y - target) * -2 * y * slope * given);
    }
    return (sum / 12) * (v[at] ?? 0);
  });
  const { product, error = Number.NaN } = await hessianVectorProduct(step, batch, [v]);
  expectNear(product[0], wanted, 1e-3);
  expect(error).toBeLessThan(2e-3);
  expect(error).toBeGreaterThan(0);
  // Too far, and too near, are worse.
  for (const distance of [1, 1e-7]) {
    const off = await hessianVectorProduct(step, batch, [v], { distance });
    const apart = Math.hypot(...wanted.map((one, at) => (off.product[0]?.[at] ?? 0) - one));
    expect(apart).toBeGreaterThan(10 * error * Math.hypot(...wanted));
  }
  await step.release();
});

const shape = { input: ["batch", 2, 5, 5], seed: 1 } as const;
const images = (count: number): Batch => ({
  input: float32([count, 2, 5, 5], drawn(50 * count)),
  label: int64(
    [count],
    Array.from({ length: count }, () => draw.integer(3)),
  ),
});

describe("of a network", () => {
  const net = () =>
    network({ conv: conv2d(2, 4, 3), norm: batchNorm(4), act: tanh(), flat: flatten(), fc: linear(36, 3) }, shape);

  test("it is symmetric, uᵀHv = vᵀHu, and linear in the vector", async () => {
    const batch = images(8);
    const step = await createStep(net(), batch, { loss: crossEntropy() });
    const [u, v] = [like(step), like(step)];
    const [hu, hv] = [await hessianVectorProduct(step, batch, u), await hessianVectorProduct(step, batch, v)];
    const size = Math.sqrt(inner(u, u) * inner(hv.product, hv.product));
    expect(Math.abs(inner(u, hv.product) - inner(v, hu.product))).toBeLessThan(2e-3 * size);
    const both = v.map((part, at) => part.map((one, i) => 3 * one - 2 * (u[at]?.[i] ?? 0)));
    const together = await hessianVectorProduct(step, batch, both);
    together.product.forEach((part, at) => {
      const wanted = Array.from(part, (_, i) => 3 * (hv.product[at]?.[i] ?? 0) - 2 * (hu.product[at]?.[i] ?? 0));
      const apart = Math.hypot(...wanted.map((one, i) => (part[i] ?? 0) - one));
      expect(apart).toBeLessThan(5e-3 * Math.sqrt(inner(together.product, together.product)));
    });
    await step.release();
  });

  test("parameters and running statistics are what they were, to the bit; dropout drops alike in both gradients", async () => {
    const model = network({ norm: batchNorm(2), flat: flatten(), drop: dropout(0.5), fc: linear(50, 3) }, shape);
    const batch = images(6);
    const step = await createStep(model, batch, { loss: crossEntropy() });
    await step.run(batch);
    const snapshot = () => [...step.parameters, ...step.states].map(({ values }) => values.slice());
    const before = snapshot();
    expect(step.states).toHaveLength(2);
    const v = like(step);
    const first = await hessianVectorProduct(step, batch, v, { place: [3] });
    expect(snapshot()).toEqual(before);
    expect(first.error).toBeLessThan(5e-2);
    expect(await hessianVectorProduct(step, batch, v, { place: [3] })).toEqual(first);
    expect((await hessianVectorProduct(step, batch, v, { place: [4] })).product).not.toEqual(first.product);
    await step.release();
  });
});

describe("refused are", () => {
  const batch = { input: float32([2, 4], drawn(8)), label: int64([2], [0, 1]) };
  const small = () => network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 });

  test("vectors of other sizes, and of what is no number", async () => {
    const step = await createStep(small(), batch, { loss: crossEntropy() });
    const [, bias] = like(step);
    for (const [vector, said] of [
      [[drawn(11), drawn(3)], '11 numbers for "fc.weight", which has 12'],
      [[drawn(12)], 'no numbers for "fc.bias", which has 3'],
      [[drawn(12), drawn(3), drawn(1)], '1 numbers for "nothing"'],
    ] as const)
      await expect(hessianVectorProduct(step, batch, vector)).rejects.toMatchObject({
        code: "E_SHAPE_MISMATCH",
        message: expect.stringContaining(said),
      });
    const broken = [drawn(12).fill(Number.NaN), bias ?? drawn(3)];
    await expect(hessianVectorProduct(step, batch, broken)).rejects.toMatchObject({ code: "E_SHAPE_MISMATCH" });
    await step.release();
  });

  test("steps whose gradients carry those before them", async () => {
    const step = await createStep(small(), batch, { loss: crossEntropy(), carry: 0.9 });
    await expect(hessianVectorProduct(step, batch, like(step))).rejects.toMatchObject({ code: "E_OPTION" });
    await step.release();
  });

  test("gradients that are not finite; the parameters come back all the same", async () => {
    const step = await createStep(small(), batch, { loss: crossEntropy() });
    const [first] = step.parameters;
    first?.values.fill(3e38);
    await expect(hessianVectorProduct(step, batch, like(step))).rejects.toMatchObject({ code: "E_DIVERGED" });
    expect(first?.values.every((one) => one === Math.fround(3e38))).toBe(true);
    await step.release();
  });
});

test("the product with nothing is nothing", async () => {
  const batch = { input: float32([2, 4], drawn(8)), label: int64([2], [0, 1]) };
  const step = await createStep(network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 }), batch, {
    loss: crossEntropy(),
  });
  const { product, error } = await hessianVectorProduct(step, batch, [new Float64Array(12), new Float64Array(3)]);
  expect(product).toEqual([new Float64Array(12), new Float64Array(3)]);
  expect(error).toBe(0);
  await step.release();
});
