/** Exports the interface of engines, and the engine for ONNX Runtime. */
export type { Engine, LoadOptions, Session } from "./engine.ts";
export { createEngine, type EngineOptions } from "./onnxruntime.ts";
