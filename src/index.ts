/**
 * Pith: make ONNX models smaller, and know that they still work.
 *
 * This entry point opens, inspects, simplifies and saves models. The techniques are in `pith/prune`, `pith/quantize`, `pith/distill` and
 * `pith/factorize`; training is in `pith/train`, metrics in `pith/evaluate`, custom passes and operators in `pith/extend`.
 *
 * @module
 * @example
 * import { inspect, open, save } from "pith";
 * import { quantize } from "pith/quantize";
 * const model = await open("model.onnx");
 * console.log((await inspect(model)).parameters);
 * await quantize(model, { scheme: "weights" });
 * await save(model, "model.int8.onnx");
 */

export { type Inspection, inspect } from "./app/report/inspect/inspect.ts";
export { type ErrorCode, errorCodes, Miss, PithError } from "./core/errors.ts";
export { Model } from "./core/graph/model.ts";
export { encodeToBytes } from "./core/onnx/encode.ts";
export { open, save } from "./core/onnx/index.ts";
export type { Change, Context, Outcome } from "./core/pass/pass.ts";
export { fromNumbers, toNumbers } from "./core/tensor/convert.ts";
export { float32, inMemory, int64 } from "./core/tensor/dense.ts";
export type { Batch, DataType, Dense, Tensor } from "./core/tensor/types.ts";
export { simplify } from "./rewrite/clean-up/simplify.ts";
