import { brotliCompressSync, constants as zlib } from "node:zlib";
import { describe, expect, it } from "vitest";
import { shownSizes, size } from "./size.ts";

describe("size", () => {
  it("adds bytes up, raw and after brotli", async () => {
    const zeros = new Uint8Array(100_000);
    const found = await size(zeros, Uint8Array.of(1, 2, 3));
    expect(found.bytes).toBe(100_003);
    expect(found.brotli).toBeGreaterThan(4);
    expect(found.brotli).toBeLessThan(200);
    await expect(size("/nowhere/model.onnx")).rejects.toMatchObject({ code: "E_FILE" });
  });

  it("compresses files side by side at the level of static files, or all at the level of servers if one is too large", async () => {
    const brotliAt = (bytes: Uint8Array, quality: number): number =>
      brotliCompressSync(bytes, {
        params: { [zlib.BROTLI_PARAM_QUALITY]: quality, [zlib.BROTLI_PARAM_LGWIN]: 24 },
      }).length;
    const numbers = new Uint8Array(Float32Array.from({ length: 4000 }, (_, at) => Math.sin(at)).buffer);
    expect(brotliAt(numbers, 11)).not.toBe(brotliAt(numbers, 5));
    const { quality, sizes } = await shownSizes([[numbers], [numbers, numbers]]);
    expect([quality, ...sizes.map(({ brotli }) => brotli)]).toEqual([
      11,
      ...[1, 2].map((n) => n * brotliAt(numbers, 11)),
    ]);
    const tooLarge = await shownSizes([[numbers], [new Uint8Array(2 ** 24 + 1)]]);
    expect([tooLarge.quality, tooLarge.sizes[0]?.brotli]).toEqual([5, brotliAt(numbers, 5)]);
  });
});
