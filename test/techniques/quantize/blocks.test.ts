/** Tests weights in low-bit blocks: rounding methods against golden values, and the written operators. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { int64 } from "../../../src/core/tensor/dense.ts";
import { lowerFused } from "../../../src/rewrite/edit/lower-fused.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { cnn, difference, mlp, numbersFor, operators, reopened, run } from "./networks.ts";

describe("the scheme weights with blocks", () => {
  const text = `opset 17
graph (x: float32[batch, 52], ids: int64[batch]) -> (y: float32[batch, 3], e: float32[batch, 6]) {
  a.weight: float32[52, 33] = random(seed 1)
  a.bias: float32[33] = random(seed 2)
  b.weight: float32[3, 33] = random(seed 3)
  b.bias: float32[3] = random(seed 4)
  embed.weight: float32[40, 6] = random(seed 5)
  h1 = MatMul(x, a.weight)
  h2 = Add(h1, a.bias)
  h3 = Relu(h2)
  y = Gemm(h3, b.weight, b.bias) {transB=1, beta=0.5}
  e = Gather(embed.weight, ids)
}`;
  const feeds = { x: numbersFor([5, 52]), ids: int64([5], [0, 39, 7, 7, 1]) };

  test.each([
    [{ bits: 8, block: 16 }, 0.01],
    [{ bits: 4 }, 0.2],
    [{ bits: 4, zeroPoints: true }, 0.2],
    [{ bits: 4, block: 16, zeroPoints: true, rounder: "mse" }, 0.2],
    [{ bits: 2, block: 16, zeroPoints: true }, 1.2],
  ] as const)("%j computes its quantized values, and approximates the float outputs", async (options, most) => {
    const model = parseModel(text);
    const { changes, misses } = await quantize(model, { scheme: "weights", ...options });
    assertValid(model);
    expect(misses).toEqual([]);
    expect(changes.map(({ at, bits }) => [at, bits])).toEqual([
      ["a", options.bits],
      ["b", options.bits],
      ["embed", 8],
    ]);
    expect(operators(model).filter((op) => op.includes("MatMul"))).toEqual(["MatMulNBits", "MatMulNBits"]);
    const result = await run(model, feeds);
    const plain = await reopened(model);
    await lowerFused(plain);
    // The kernel rounds activations to 8 bits as well.
    expect(difference(await run(plain, feeds), result)).toBeLessThan(0.02);
    expect(difference(await run(parseModel(text), feeds), result)).toBeLessThan(most);
  });

  test("logs once if most layers keep more than 4 bits", async () => {
    const collectMessages = async (options: QuantizeOptions) => {
      const texts: string[] = [];
      await quantize(cnn(), options, { log: ({ id, text }) => void (id === "wider" && texts.push(text)) });
      return texts;
    };
    expect(await collectMessages({ dtype: "q4" })).toEqual([
      "3 of 4 layers are kept at more than 4 bits, and the list says why",
    ]);
    for (const options of [{ bits: 4 }, { bits: 4, onnxOnly: true }, { bits: 8 }] as const)
      expect(await collectMessages({ scheme: "weights", ...options })).toEqual([]);
  });

  test("quantizes unsupported layers per channel with the reason, and applies per-layer overrides", async () => {
    const model = cnn();
    const { changes } = await quantize(model, { scheme: "weights", bits: 4, overrides: { fc: { bits: 8 } } });
    expect(changes.map(({ at, what, bits, decidedBy }) => [at, bits, decidedBy, what])).toEqual([
      [
        "conv1",
        4,
        "global",
        "weight as int4, a scale per output channel, not blocks: only weights of matrix products have blocks",
      ],
      [
        "conv2",
        4,
        "global",
        "weight as int4, a scale per output channel, not blocks: only weights of matrix products have blocks",
      ],
      [
        "conv3",
        4,
        "global",
        "weight as int4, a scale per output channel, not blocks: only weights of matrix products have blocks",
      ],
      ["fc", 8, "layer", "weight as int8, a scale per output channel"],
    ]);
  });

  test.each([
    [{ scheme: "dynamic", bits: 4 }, /^quantize: "bits": the scheme "dynamic" takes 8 or 7, got 4/],
    [{ scheme: "dynamic", bits: 3 }, /takes 8 or 7, got 3/],
    [{ scheme: "weights", bits: 3, block: 32 }, /"block": blocks support 8, 4 or 2 bits, got 3/],
    [{ scheme: "weights", block: 48 }, /takes 16, 32, 64, 128 or 256/],
  ] as const)("rejects %j", async (options, message) => {
    await expect(quantize(mlp(), options as never)).rejects.toThrow(message);
  });
});
