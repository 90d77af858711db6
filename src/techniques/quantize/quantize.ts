/** Quantization and equalization as passes. */
import type * as v from "valibot";
import { definePass, type Pass } from "#pass";
import { calibrationNeed, type QuantizeOptions, quantizeOptions, runsPerSample } from "./options.ts";
import { downloadSettings, fallbackOverrides, fallbackSettings } from "./precision-fallback.ts";
import { withDtype } from "./settings.ts";

/**
 * Moves factors between layers if that lowers the error of `quantize` with the same options. The function of the float model stays about
 * the same. `quantize` does it, too; a separate pass is useful before `quantize` with `equalize: false`.
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
  run: async (model, options, context) => (await import("./run.ts")).runEqualize(model, options, context),
});

/**
 * Quantizes the weights of layers to 8 bits or fewer and, depending on the scheme, their arithmetic; or converts them to half precision.
 *
 * - `weights`: a `DequantizeLinear` before each layer; a quarter of the size, arithmetic in float. With `bits` 4 or 2, or a
 *   `block`, matrix products become `MatMulNBits` and embedding tables `GatherBlockQuantized` (never below 4 bits). Other layers,
 *   and 3, 5 and 6 bits, use one scale per output. `weights` selects a trainable "palette".
 * - `dynamic`: integer arithmetic; the range of an activation is computed in every run. Needs no data.
 * - `static`: `QuantizeLinear` and `DequantizeLinear` around each layer, with ranges measured on `data`.
 * - `float16`: weights in half precision, arithmetic in float32. With `dtype: "fp16"`, the arithmetic is in float16 where it can be.
 * - `bfloat16`: weights in the upper half of float32, arithmetic in float32.
 *
 * `dtype` uses the names of transformers.js ("q8", "q4", "fp16", …). Layers that stay in float are listed with the reason.
 * @throws PithError E_OPTION if settings contradict each other or data is missing, E_NAME if a pattern fits no layer, E_UNSUPPORTED if the model's
 * operator set is too old and cannot be raised, E_DATA if activations are not finite and no layer remains. Source: the static scheme equals ONNX
 * Runtime's `quantize_static` (QDQ, min-max).
 *
 * @example
 * const model = await open("model.onnx");
 * const { changes, misses } = await quantize(model, { scheme: "static", data: calibration });
 * await save(model, "model.int8.onnx");
 */
export const quantize: Pass<v.GenericSchema<QuantizeOptions>> = definePass({
  id: "quantize",
  summary: "Store the weights, and optionally compute, in fewer bits",
  options: quantizeOptions,
  data: calibrationNeed,
  makesSmaller: "file",
  gentler: ({ scheme, dtype }) =>
    scheme === "dynamic"
      ? 'Try `scheme: "static"`'
      : dtype === "q8" || dtype === "int8" || dtype === "uint8"
        ? 'Try `dtype: "q4"`'
        : "Leave layers in float (`except`, starting with the first and the last)",
  faster: async (options, original) => {
    const { scheme } = withDtype(options);
    return scheme === "weights" || scheme === "dynamic"
      ? 'Try `scheme: "static"` with samples, which is faster for many networks'
      : scheme === "static"
        ? (await import("./run.ts")).adviseFloatDepthwise(original, options)
        : undefined;
  },
  fallbackOverrides,
  fallbackSettings,
  downloadSettings,
  moves: async (request) => (await import("./moves.ts")).quantizeMoves(request),
  runsPerSample,
  unrounded: equalize,
  removesNotes: true,
  checkModel: async (model, options) => (await import("./run.ts")).requireFloatWeights(model, options),
  run: async (model, options, context) => (await import("./run.ts")).runQuantize(model, options, context),
});
