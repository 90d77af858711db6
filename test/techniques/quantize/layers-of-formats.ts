/** A network with every kind of layer, and tests of a format that its weights are stored in. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { int64 } from "../../../src/core/tensor/dense.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { simplify } from "../../../src/rewrite/clean-up/simplify.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, layerNames, numbersFor, reopened, stored } from "./networks.ts";

/** Products of both layouts, convolutions with more and with fewer numbers for an output than a block, and a table. */
export const text = `opset 17
graph (x: float32[batch, 3, 8, 8], ids: int64[batch]) -> (y: float32[batch, 5], e: float32[batch, 16]) {
  conv.weight: float32[6, 3, 3, 3] = random(seed 1)
  conv.bias: float32[6] = random(seed 2)
  depth.weight: float32[6, 1, 3, 3] = random(seed 3)
  up.weight: float32[6, 4, 2, 2] = random(seed 4)
  fc1.weight: float32[33, 64] = random(seed 5)
  fc1.bias: float32[33] = random(seed 6)
  fc2.weight: float32[33, 5] = random(seed 7)
  fc2.bias: float32[5] = random(seed 8)
  embed.weight: float32[40, 16] = random(seed 9)
  h1 = Conv "conv" (x, conv.weight, conv.bias) {strides=[2, 2]}
  h2 = Conv "depth" (h1, depth.weight) {group=6, pads=[1, 1, 1, 1], strides=[2, 2]}
  h3 = ConvTranspose "up" (h2, up.weight) {strides=[2, 2]}
  f = Flatten(h3)
  h4 = Gemm "fc1" (f, fc1.weight, fc1.bias) {transB=1}
  a = Relu(h4)
  h5 = MatMul "fc2" (a, fc2.weight)
  y = Add(h5, fc2.bias)
  e = Gather "embed" (embed.weight, ids)
}`;
export const names = ["conv", "depth", "up", "fc1", "fc2", "embed"];
const feeds = { x: numbersFor([3, 3, 8, 8]), ids: int64([3], [0, 39, 7]) };

async function outputs(model: Model, given: Batch, runtime: "native" | "wasm", optimize = true): Promise<Float64Array> {
  const session = await createEngine({ runtime }).load(model, { optimize, threads: 1 });
  const results = Object.values(await session.run(given));
  await session.release();
  return Float64Array.from(results.flatMap((result) => [...toFloat64(result)]));
}

/** Options, how far the answers may be from those before, and the types of the codes, layer by layer. */
type Format = readonly [options: QuantizeOptions, most: number, types: readonly string[]];

export function testFormats(formats: readonly Format[]): void {
  describe.each(formats)("%j", (options, most, types) => {
    test("computes nearly the float outputs, equally in every runtime", async () => {
      const model = parseModel(text);
      const before = await outputs(model, feeds, "native");
      const { changes, misses } = await quantize(model, { scheme: "weights", ...options });
      assertValid(model);
      expect([changes.map(({ at }) => at), misses]).toEqual([names, []]);
      const file = await reopened(model);
      const plain = await outputs(file, feeds, "native", false);
      expect(difference(before, plain)).toBeLessThan(most);
      expect(difference(plain, await outputs(file, feeds, "wasm", false))).toBeLessThan(1e-5);
      // Kernels that products are fused into round activations to 8 bits as well.
      for (const runtime of ["native", "wasm"] as const)
        expect(difference(plain, await outputs(file, feeds, runtime))).toBeLessThan(0.02);
    });

    test("recognizes each layer again, and does not quantize it twice", async () => {
      const model = parseModel(text);
      await quantize(model, { scheme: "weights", ...options });
      const file = await reopened(model);
      expect(layerNames(file)).toEqual(names);
      const codes = await Promise.all(names.map((name) => stored(file, `${name}.weight_quantized`)));
      expect(codes.map(({ type }) => type)).toEqual(types);
      const size = (await encodeToBytes(file)).length;
      await simplify(file);
      expect((await encodeToBytes(file)).length).toBeLessThan(size + 64);
      const again = await quantize(file, { scheme: "weights", ...options });
      expect(again.changes).toEqual([]);
      expect(again.misses.map(({ reason }) => reason)).toEqual(types.map(() => "its weight is quantized already"));
    });
  });
}
