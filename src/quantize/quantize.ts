/** `quantize`: the pass. Each scheme has a file of its own, with its mathematics. */

import type * as v from "valibot";
import { definePass, type Outcome, type Pass } from "../passes/pass.ts";
import { type DtypeName, dtypes } from "./dtypes.ts";
import { equalize } from "./equalize/pass.ts";
import { storeFewValues } from "./few-values.ts";
import { milderForms } from "./milder.ts";
import { quantizeMoves } from "./moves.ts";
import {
  calibrationNeed,
  checkTogether,
  type QuantizeOptions,
  quantizeOptions,
  runsOfSample,
  settingsOfSteps,
} from "./options.ts";
import { quantizeBy, storeForm } from "./round-model.ts";
import { rounders } from "./rounders/index.ts";

/**
 * Makes the weights of layers integers of 8 bits or fewer, and by scheme their arithmetic too; or halves them.
 *
 * - `weights`: a `DequantizeLinear` in front of each layer; a quarter of the size, arithmetic in float. With `bits` 4 or 2, or a `block`, matrix
 *   products become `MatMulNBits`, whose blocks of so many inputs share a scale, and embedding tables `GatherBlockQuantized` (never below 4 bits),
 *   with the same codes where the table is the last layer, too; convolutions have few bits with a scale for each output. 3, 5 and 6 bits have that everywhere, in
 *   integers of 4 and 8 bits (compressed they are smaller). Tables of 4 bits are the default because they cost little:
 *   a BERT is 1.10 MB instead of 1.41 with tables of 8 bits, and its accuracy is 76.5 instead of 76.3 % (76.4 % in float); a tied LLaMA is 1.01 MB
 *   instead of 1.08 at 3.503 instead of 3.501 nats a token (3.498). `overrides: { "*embed*": { bits: 8 } }` keeps 8 bits.
 *   With `onnxOnly` blocks are for `DequantizeLinear`, and convolutions have them, too: operators of ONNX alone, which ONNX Runtime fuses again.
 *   `weights` says what codes stand for: "float8", "nf4" and "fp4", or a "palette" of 2 to the power of `bits` values, which `train` moves afterwards.
 * - `dynamic`: layers compute on integers; the range of an activation is found in every run. No data needed.
 * - `static`: `QuantizeLinear` and `DequantizeLinear` around each layer, with ranges measured on `data`, as ONNX Runtime fuses them.
 * - `float16`: all float32 numbers of the file in half precision, arithmetic in float32. Half the size, next to no loss. With `arithmetic: "float16"`
 *   it computes in float16, too, where ONNX's types and its range allow it; inputs and outputs keep their types; `except` names layers or operator types that stay.
 * - `bfloat16`: weights in the upper half of float32, arithmetic in float32: its range, and two digits.
 *
 * `dtype` says the same in the names of transformers.js: "q8", "int8", "uint8" (dynamic), "q4" and "q2" (weights in blocks), "bnb4" (nf4),
 * "q4f16", "q2f16", "fp16".
 *
 * Masks are folded into the codes, layers keep their names, and what stays in float is listed with the reason. Constants of at most 256 values that are no weights
 * (masks of attention, boxes of detectors) become codes, too, unless all floats are halved: exactly.
 *
 * @throws PithError E_OPTION if settings contradict each other or data is missing, E_NAME if a pattern fits no layer, E_UNSUPPORTED if the
 * model's operator set is too old and cannot be raised, E_DATA if activations are not finite and no layer is left.
 * Source: the static scheme equals ONNX Runtime's `quantize_static` (QDQ, min-max) integer by integer; the dynamic one is the form that its
 * `quantize_dynamic` writes, for Gemm too.
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
  milderForms,
  moves: quantizeMoves,
  runsOfSample,
  unrounded: equalize,
  command: {
    suffix: ({ scheme = "<scheme>", dtype, weights, bits = 8 }) =>
      typeof dtype === "string" && dtype in dtypes
        ? dtypes[dtype as DtypeName].suffix
        : scheme === "float16" || scheme === "bfloat16"
          ? `.${scheme}`
          : typeof weights === "string" && weights !== "int8" && weights !== "uint8"
            ? `.${weights}${weights === "palette" ? bits : ""}`
            : `.int${bits}-${scheme}`,
    results: "model.int8-<scheme>.onnx, model_q4.onnx, of a folder <folder>.quantized",
    examples: [
      "quantize model.onnx --dtype q4",
      "quantize model.onnx --scheme weights --bits 4 --rounder k-quant",
      "quantize resnet20.onnx --scheme static --data cifar10/ --max-drop 1% -o resnet20.int8.onnx",
    ],
  },
  async run(model, options, context) {
    const steps = settingsOfSteps(options);
    for (const step of steps) checkTogether(step);
    const [first] = steps;
    if (options.rounder === undefined && first !== undefined && rounders.looksAtSamples(first.rounder)) {
      const text = `weights are quantized layer by layer, to match the original's outputs on the calibration samples (${first.rounder}); --rounder mse takes seconds`;
      context.log({ id: "rounder", text, level: "note" });
    }
    await storeForm(model, context);
    const outcomes: Outcome[] = [];
    for (const step of steps) {
      const { changes, misses } = await quantizeBy(step, model, context);
      const isHalf = step.scheme === "float16" || step.scheme === "bfloat16";
      const constants = isHalf || changes.length === 0 ? [] : await storeFewValues(model, context);
      outcomes.push({ changes: [...changes, ...constants], misses });
    }
    return {
      changes: outcomes.flatMap(({ changes }) => changes),
      misses: outcomes.flatMap(({ misses }) => misses),
    };
  },
});
