/** Settings of each layer equal those of all. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { runStep } from "../../../src/judge/steps/step.ts";
import { parseStep } from "../../../src/judge/steps/step-options.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, numbersFor, run } from "./networks.ts";
import { text } from "./settings-network.ts";

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
  await runStep(await parseStep(quantize, { ...options }), model, { calibrate }, completeContext());
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
});
