/** Rounders of blocks, by what other tools found. */
import { describe, expect, test } from "vitest";
import { blockGrid } from "../../src/quantize/grid.ts";
import { hqq } from "../../src/quantize/rounders/hqq.ts";
import { kQuant } from "../../src/quantize/rounders/k-quant.ts";
import type { Dense } from "../../src/tensor/types.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../shared.ts";

interface Case {
  readonly W_groups: GoldenTensor;
  readonly bits: 2 | 4 | 8;
  readonly inverse_scale: GoldenTensor;
  readonly zero_rounded: GoldenTensor;
  readonly scales: GoldenTensor;
  readonly zero_points: GoldenTensor;
}
const cases = golden<{ readonly hqq: readonly Case[]; readonly k_quant: readonly Case[] }>("quantization");

describe.skipIf(cases === undefined)("golden blocks", () => {
  const weightOf = ({ W_groups: given }: Case): Dense => ({
    type: "float64",
    dims: given.shape,
    data: goldenNumbers(given),
  });
  test.each(cases?.hqq ?? [])("hqq finds the zero points of the reference: $bits bits", (one) => {
    const found = hqq.scales(weightOf(one), blockGrid(one.bits, weightOf(one).dims[1] ?? 0, false));
    expect(found.map(({ zeroPoint }) => zeroPoint)).toEqual([...goldenNumbers(one.zero_rounded)]);
    expect(found.map(({ scale }) => scale)).toEqual(
      [...goldenNumbers(one.inverse_scale)].map((i) => Math.fround(1 / i)),
    );
  });
  test.each(cases?.k_quant ?? [])(
    "k-quant finds scales and zero points of ONNX Runtime's quantizer: $bits bits",
    (one) => {
      const found = kQuant.scales(weightOf(one), blockGrid(one.bits, weightOf(one).dims[1] ?? 0, false));
      expect(found.map(({ zeroPoint }) => zeroPoint)).toEqual(
        [...goldenNumbers(one.zero_points)].map((zero) => zero + 0),
      );
      found.forEach(({ scale }, at) => expect(scale).toBeCloseTo(goldenNumbers(one.scales)[at] ?? 0, 7));
    },
  );
});
