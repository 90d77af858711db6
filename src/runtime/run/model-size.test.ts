import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { random } from "../../core/tensor/random.ts";
import { measureSize, size } from "./model-size.ts";

const brotliOf = (bytes: Uint8Array): number =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 } })
    .length;

const gzipOf = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length;

/** Returns random values of low entropy, similar to quantized weights. */
function lowEntropy(count: number): Uint8Array {
  const numbers = random(1);
  return Uint8Array.from({ length: count }, () => Math.round(numbers.uniform(-1, 1) + numbers.uniform(-1, 1)) & 255);
}

describe("size", () => {
  it("adds up raw, gzip and brotli sizes", async () => {
    const [numbers, zeros] = [
      new Uint8Array(Float32Array.from({ length: 4000 }, (_, index) => Math.sin(index)).buffer),
      new Uint8Array(1000),
    ];
    expect(await size(numbers, zeros)).toEqual({
      bytes: 17_000,
      gzip: gzipOf(numbers) + gzipOf(zeros),
      brotli: brotliOf(numbers) + brotliOf(zeros),
      sampled: false,
    });
    expect(await size(new Uint8Array())).toMatchObject({ bytes: 0, sampled: false });
    await expect(size("/nowhere/model.onnx")).rejects.toMatchObject({ code: "E_FILE" });
  });

  it.each([2 ** 18, 2 ** 19 + 1])("estimates %i bytes after brotli within 3 % of quality 11", async (count) => {
    const values = lowEntropy(count);
    const { brotli, gzip, sampled } = await measureSize([values], undefined, "quick");
    expect({ gzip, sampled }).toEqual({ gzip: gzipOf(values), sampled: true });
    expect(Math.abs((brotli ?? 0) / brotliOf(values) - 1)).toBeLessThan(0.03);
  });

  it("measures small files exactly also in quick mode", async () => {
    const values = lowEntropy(2 ** 15);
    expect(await measureSize([values], undefined, "quick")).toEqual(await size(values));
  });

  it("rejects with E_STOPPED if the signal is aborted during the compression", async () => {
    const controller = new AbortController();
    const sizes = measureSize([lowEntropy(2 ** 20)], controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(sizes).rejects.toMatchObject({ code: "E_STOPPED" });
  });
});
