export type { Engine, LoadOptions, Session } from "./engine.ts";
export { createEngine } from "./onnxruntime.ts";
