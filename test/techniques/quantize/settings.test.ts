/** Overrides for individual layers act as options for all layers do, and rounding uses samples if they help. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { splitOf } from "../../../src/judge/steps/step-options.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { fallbackOverrides } from "../../../src/techniques/quantize/precision-fallback.ts";
import { text } from "./settings-network.ts";

describe("overrides for individual layers", () => {
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
  expect(splitOf(quantize, { ...options }) === "calibrate").toBe(isGiven);
});

test("the higher-precision formats of a dtype are those of its scheme", () => {
  const change = { at: "a", what: "", kind: "quantized", bits: 4, decidedBy: "global" } as const;
  expect(fallbackOverrides({ dtype: "q4" }, change)).toEqual([{ bits: 8 }, { float: true }]);
});
