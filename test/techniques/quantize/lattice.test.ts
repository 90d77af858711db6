/** Weights that were quantized before with a real zero point per block (Q4_1 and Q4_K of GGUF, HQQ) keep their values in 4 bits. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { value } from "../../find.ts";
import { difference, numbersFor, operators, reopened, run } from "./networks.ts";

const width = 64;
const block = 32;

/** Two products that read one activation, and a third behind them. `zeroPointOf` gives the zero point of a block. */
function lattice(
  zeroPointOf: (uniform: () => number) => number,
  round: (number: number) => number = Math.fround,
): Model {
  const model = parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y) {
  a.weight: float32[64, 64] = random(seed 1)
  b.weight: float32[64, 64] = random(seed 2)
  c.weight: float32[64, 8] = random(seed 3)
  a = MatMul "a" (x, a.weight)
  b = MatMul "b" (x, b.weight)
  h = Mul (a, b)
  y = MatMul "c" (h, c.weight)
}`);
  const { uniform } = random(7, "lattice");
  for (const name of ["a.weight", "b.weight", "c.weight"]) {
    const weight = value(model, name);
    const columns = weight.tensor?.dims[1] ?? 0;
    const numbers = new Float32Array(width * columns);
    for (let column = 0; column < columns; column++)
      for (let start = 0; start < width; start += block) {
        // Large channels are what equalization moves to other weights.
        const size = name === "b.weight" && column % 8 === 0 ? 20 : 1;
        const [scale, zeroPoint] = [size * (0.01 + 0.02 * uniform()), zeroPointOf(uniform)];
        for (let row = start; row < start + block; row++)
          numbers[row * columns + column] = round(scale * (Math.floor(16 * uniform()) - zeroPoint));
      }
    weight.tensor = inMemory(float32([width, columns], numbers));
  }
  return model;
}

const realZero = (uniform: () => number): number => 5 + 5 * uniform();
const toBfloat16 = (number: number): number => {
  const bits = new Uint32Array(new Float32Array([number]).buffer);
  bits[0] = ((bits[0] ?? 0) + 0x8000) & 0xffff_0000;
  return new Float32Array(bits.buffer)[0] ?? 0;
};

async function errorOf(original: Model, options: Partial<QuantizeOptions> = {}) {
  const model = original.clone();
  const { changes } = await quantize(
    model,
    options.dtype === undefined ? { scheme: "weights", bits: 4, ...options } : options,
  );
  const x = { x: numbersFor([16, width], 5) };
  const [expected, actual] = [await run(original, x), await run(await reopened(model), x)];
  return { error: difference(expected, actual), model, texts: changes.map(({ what }) => what) };
}

describe("weights on a lattice with a real zero point per block", () => {
  test.each([
    ["nearest", {}],
    ["half of the block", { block: 16 }],
    ["mse with zero points", { rounder: "mse", zeroPoints: true }],
    ["gptq on samples, after equalization", { rounder: "gptq", data: memory("x", { x: numbersFor([64, width], 5) }) }],
  ] as const)("keep their values: %s", async (_, options) => {
    const { error, texts } = await errorOf(lattice(realZero), options);
    expect(error).toBeLessThan(0.02);
    expect(texts.every((text) => text.includes("with offsets, which keep its values"))).toBe(true);
  });

  test("sum an activation once for all products that read it, and share the matrix of the sums", async () => {
    const { model } = await errorOf(lattice(realZero));
    // Sums of x and h, and offsets of three layers.
    expect(operators(model).filter((name) => name === "MatMul")).toHaveLength(5);
    expect(
      [...model.graph.values()].filter(({ name, tensor }) => tensor !== undefined && name.startsWith("blocks_of_")),
    ).toHaveLength(1);
  });

  test("keep their values in float16 arithmetic", async () => {
    const { error, model } = await errorOf(lattice(realZero), { dtype: "q4f16" });
    expect(error).toBeLessThan(0.02);
    // Casts of the input and the output only.
    expect(operators(model).filter((name) => name === "Cast").length).toBeLessThanOrEqual(2);
  });

  test("keep their values if they were rounded to bfloat16", async () => {
    const { error, texts } = await errorOf(lattice(realZero, toBfloat16));
    expect(error).toBeLessThan(0.03);
    expect(texts.every((text) => text.includes("offsets"))).toBe(true);
  });

  test.each([
    ["bfloat16, with zero points from 0 to 15", (uniform: () => number) => 15 * uniform(), toBfloat16],
    ["two values, whose codes surround the middle", realZero, (number: number) => 0.03 * Math.sign(number)],
    ["steps below float16's normal range", realZero, (number: number) => Math.fround(1e-8 * number)],
    ["steps beyond float16's range", realZero, (number: number) => Math.fround(1e8 * number)],
    ["values far from 0", (uniform: () => number) => 500 + 500 * uniform(), Math.fround],
  ] as const)("keep their values: %s", async (_, zeroPointOf, round) => {
    const { error, texts } = await errorOf(lattice(zeroPointOf, round));
    expect(error).toBeLessThan(0.02);
    expect(texts.every((text) => text.includes("with offsets, which keep its values"))).toBe(true);
  });

  test("need no offsets if zero points are integers", async () => {
    for (const options of [
      { rounder: "mse", zeroPoints: true },
      { rounder: "nearest", zeroPoints: true },
    ]) {
      const { error, texts } = await errorOf(
        lattice((uniform) => Math.floor(16 * uniform())),
        options,
      );
      expect(error).toBeLessThan(0.02);
      expect(texts.join()).not.toContain("offsets");
      expect(texts.every((text) => text.endsWith("which keep its values"))).toBe(true);
    }
  });

  test("are not assumed for other weights, or in larger blocks", async () => {
    const other = lattice(realZero);
    const weight = value(other, "a.weight");
    weight.tensor = inMemory(float32([width, width], numbersFor([width, width], 9).data as Float32Array));
    expect((await errorOf(other)).texts[0]).not.toContain("keep");
    // Beside an outlier in each block, other values seem to be one point.
    const [first, numbers] = [value(other, "a.weight"), numbersFor([width, width], 9).data as Float32Array];
    const outliers = numbers.map((number, at) => (Math.floor(at / width) % block === 0 ? 200 : number));
    first.tensor = inMemory(float32([width, width], outliers));
    expect((await errorOf(other)).texts[0]).not.toContain("keep");
    expect((await errorOf(lattice(realZero), { block: 64 })).texts.join()).not.toContain("keep");
  });
});
