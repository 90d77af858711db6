import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, numbersFor, run } from "./networks.ts";

describe("stored factors of channels", () => {
  const text = (smallest: number) => `opset 17
graph (x: float32[batch, 4]) -> (z, y) {
  a.weight: float32[4, 3] = random(seed 1)
  b.weight: float32[4, 3] = random(seed 2)
  factors: float32[4] = [${smallest}, 1, 8, 8]
  y = MatMul "a" (x, a.weight)
  m = Mul "scale" (x, factors)
  z = MatMul "b" (m, b.weight)
}`;
  const { data: normal } = numbersFor([64, 4]);
  const x = float32(
    [64, 4],
    normal.map((value, index) => (index % 4 === 0 ? 600 * value : value)),
  );
  const quantized = async (smallest: number) => {
    const model = parseModel(text(smallest));
    const outcome = await quantize(model, { scheme: "static", equalize: false, data: memory("x", { x }) });
    return { model, ...outcome };
  };

  test("stay in float if rounding would set the factor of the largest channel to 0", async () => {
    const { model, misses } = await quantized(1 / 64);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      'Mul "scale": stays in float: one scale would not resolve its stored factors',
    ]);
    const before = await run(parseModel(text(1 / 64)), { x });
    expect(difference(before, await run(model, { x }))).toBeLessThan(0.05 * Math.max(...before.map(Math.abs)));
  });

  test("are rounded if the error of the product is small", async () => {
    expect((await quantized(4)).changes.map(({ at }) => at)).toContain('Mul "scale"');
  });
});
