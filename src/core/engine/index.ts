export type { Engine, LoadOptions, Session } from "./engine.ts";
export { createEngine, type EngineOptions } from "./onnxruntime.ts";
