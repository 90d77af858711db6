import type * as v from "valibot";
import { type Change, definePass, type Pass } from "../../../core/pass/pass.ts";
import { calibrationNeed, type QuantizeOptions, quantizeOptions, settingsOfSteps } from "../options.ts";
import { moveFactors, storeForm } from "../round-model.ts";

/**
 * Moves factors between layers and rotates residual streams if that lowers the error of `quantize` with the same options. The
 * function of the float model stays the same, except for rare values below absorbed biases (`absorb-biases.ts`). `quantize` does
 * this itself; a separate pass is useful before `quantize` with `equalize: false`.
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
