/**
 * Pith: make ONNX models smaller, and know that they still work.
 *
 * The root holds what every program needs: opening, inspecting and saving. The techniques stand in `pith/prune`, `pith/quantize`, `pith/distill` and
 * `pith/factorize`; training in `pith/train`, figures in `pith/evaluate`.
 *
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
export { type Graph, Model, type Node, type Value } from "./core/graph/index.ts";
export { encodeToBytes, open, save } from "./core/onnx/index.ts";
export type { Batch, DataType, Dense, Tensor } from "./core/tensor/index.ts";
export type { Change, Context, Outcome, Pass } from "./rewrite/index.ts";
