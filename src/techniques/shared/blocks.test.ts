import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { type BlockBits, blockCodes, blockScales, packRows } from "./blocks.ts";

interface Case {
  readonly K: number;
  readonly N: number;
  readonly block_size: number;
  readonly bits: BlockBits;
  readonly symmetric: boolean;
  readonly weight_K_by_N: GoldenTensor;
  readonly packed_N_blocks_bytes: GoldenTensor;
  readonly scales: GoldenTensor;
  readonly zero_points_packed_per_row?: GoldenTensor;
}

/** Rounds to float32 and replaces -0 by 0. */
const unsigned = (value: number): number => Math.fround(value) + 0;

const cases = golden<{ readonly blocks: readonly Case[] }>("quantization")?.blocks ?? [];

describe.skipIf(cases.length === 0)("block quantization against ONNX Runtime's quantizer", () => {
  describe.each([true, false])("with blocks along columns: %s", (areColumns) => {
    test.each(cases.map((one) => [`${one.K} × ${one.N} in ${one.block_size}, ${one.bits} bits`, one] as const))(
      "gives equal scales, zero points and values: %s",
      (_, { K, N, block_size: size, bits, symmetric, ...expected }) => {
        const stored = goldenNumbers(expected.weight_K_by_N);
        const values = Float32Array.from(stored, (value, at) =>
          areColumns ? value : (stored[(at % K) * N + Math.floor(at / K)] ?? 0),
        );
        const layout = { rows: N, width: K, areColumns };
        const { scale, zeroPoint } = blockScales(values, layout, { size, bits, symmetric });
        const codes = blockCodes(values, layout, { size, bits, scale, zeroPoint });
        const width = Math.ceil(K / size);
        expect(Array.from(scale, unsigned)).toEqual([...goldenNumbers(expected.scales)].map(unsigned));
        const packedZeros = expected.zero_points_packed_per_row;
        if (packedZeros !== undefined)
          expect([...packRows(zeroPoint, { width, block: 8 / bits, bits, fill: () => 2 ** (bits - 1) })]).toEqual([
            ...goldenNumbers(packedZeros),
          ]);
        // The padding of the last block can have any value.
        const kept = K - (K % (8 / bits));
        const rowsOf = (bytes: ArrayLike<number>) =>
          Array.from({ length: N }, (_, row) =>
            Array.from({ length: (kept * bits) / 8 }, (_, at) => bytes[(row * width * size * bits) / 8 + at]),
          );
        expect(rowsOf(codes)).toEqual(rowsOf(goldenNumbers(expected.packed_N_blocks_bytes)));
      },
    );
  });
});
