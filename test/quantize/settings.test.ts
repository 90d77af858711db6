/** Overrides for individual layers act as options for all layers do, and rounding uses samples if they help. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { memory } from "../../src/data/index.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { partFor } from "../../src/judge/steps/step-options.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { milderForms } from "../../src/techniques/quantize/precision-fallback.ts";
import { difference, numbersFor, run } from "./networks.ts";

const text = `opset 21
graph (x: float32[batch, 64]) -> (y) {
  a.weight: float32[64, 96] = random(seed 1)
  b.weight: float32[96, 96] = random(seed 2)
  c.weight: float32[96, 16] = random(seed 3)
  h = MatMul "a" (x, a.weight)
  r = Relu (h)
  k = MatMul "b" (r, b.weight)
  s = Relu (k)
  y = MatMul "c" (s, c.weight)
}`;
/** Samples with eight dominant directions and a little noise, similar to inputs of real layers. */
const x = (() => {
  const [mix, hidden, noise] = [numbersFor([8, 64], 9), numbersFor([256, 8], 5), numbersFor([256, 64], 6)].map(
    toNumbers,
  );
  const at = (row: number, column: number) =>
    Array.from({ length: 8 }, (_, one) => (hidden?.[8 * row + one] ?? 0) * (mix?.[64 * one + column] ?? 0));
  return float32(
    [256, 64],
    Array.from({ length: 256 * 64 }, (_, place) =>
      at(Math.floor(place / 64), place % 64).reduce((sum, part) => sum + part, 0.1 * (noise?.[place] ?? 0)),
    ),
  );
})();
const calibrate = memory("x", { x });

/** Runs the pass as a command or a recipe does. */
async function errorOf(options: QuantizeOptions): Promise<number> {
  const model = parseModel(text);
  await runStep(quantize, model, { ...options }, { calibrate }, completeContext());
  return difference(await run(parseModel(text), { x }), await run(model, { x }));
}

const layers = ["a", "b", "c"];

describe("overrides for individual layers", () => {
  test("with 4 bits for each have the error of 4 bits for all", async () => {
    const layerOptions = { bits: 4, onnxOnly: true } as const;
    const overrides = Object.fromEntries(layers.map((layer) => [layer, layerOptions]));
    const all = await errorOf({ scheme: "weights", ...layerOptions });
    expect(await errorOf({ scheme: "weights", overrides })).toBeLessThan(1.1 * all);
  });

  test("with a palette do not conflict with a rounding method for the other layers", async () => {
    const overrides = { a: { bits: 4 }, b: { bits: 3, weights: "palette" } } as const;
    const model = parseModel(text);
    const { changes } = await quantize(model, { scheme: "weights", rounder: "mse", overrides });
    expect(changes.map(({ at, bits }) => [at, bits])).toEqual([
      ["a", 4],
      ["b", 3],
      ["c", 8],
    ]);
    await expect(
      quantize(parseModel(text), { scheme: "weights", weights: "palette", bits: 4, rounder: "mse" }),
    ).rejects.toMatchObject({ code: "E_OPTION", message: expect.stringContaining("the values of palette are given") });
  });
});

test.each<[QuantizeOptions, boolean]>([
  [{ scheme: "static" }, true],
  [{ scheme: "dynamic" }, false],
  [{ scheme: "weights" }, false],
  [{ scheme: "weights", bits: 4 }, true],
  [{ scheme: "weights", overrides: { a: { bits: 4 } } }, true],
  [{ scheme: "weights", overrides: { a: { bits: 4, weights: "palette" } } }, false],
  [{ scheme: "weights", bits: 4, rounder: "nearest" }, false],
  [{ scheme: "weights", weights: "palette", bits: 4 }, false],
  [{ dtype: "q4" }, true],
  [{ scheme: "float16" }, false],
])("%o uses samples: %s", (options, isGiven) => {
  expect(partFor(quantize, { ...options }) === "calibrate").toBe(isGiven);
});

test("the higher-precision formats of a dtype are those of its scheme", () => {
  const change = { at: "a", what: "", kind: "quantized", bits: 4, decidedBy: "global" } as const;
  expect(milderForms({ dtype: "bnb4" }, change)).toEqual([{ bits: 8, weights: "int8" }, { float: true }]);
});
