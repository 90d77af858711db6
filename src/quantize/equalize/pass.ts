/** `equalize`: the pass, which is the first half of `quantize`. */
import type * as v from "valibot";
import { type Change, definePass, type Pass } from "../../passes/pass.ts";
import { calibrationNeed, type QuantizeOptions, quantizeOptions, settingsOfSteps } from "../options.ts";
import { moveFactors, storeForm } from "../round-model.ts";

/**
 * Moves factors between layers, and rotates residual streams, where `quantize` with the same options then errs less. The model computes the same, in
 * floats, but for the rare numbers below what biases absorb (`absorb-biases.ts`). `quantize` does this itself: alone it is the float model that layers of the quantized one compare with, and what comes before `quantize` with
 * `equalize: false` in steps of one's own.
 * @throws PithError as `quantize`.
 * @example
 * const model = await open("model.onnx");
 * await equalize(model, { scheme: "static", data: calibration });
 * await quantize(model, { scheme: "static", data: calibration, equalize: false });
 */
export const equalize: Pass<v.GenericSchema<QuantizeOptions>> = definePass({
  id: "equalize",
  summary: "Move scales between layers to lower the quantization error",
  options: quantizeOptions,
  data: calibrationNeed,
  async run(model, options, context) {
    await storeForm(model, context);
    const changes: Change[] = [];
    for (const step of settingsOfSteps(options)) changes.push(...(await moveFactors(model, step, context)));
    return { changes, misses: [] };
  },
});
