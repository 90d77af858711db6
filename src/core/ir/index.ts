/** Exports the graph, its file format and texts of numbers to code above `core` (`#ir`). */
export * from "../estimate.ts";
export * from "../graph/index.ts";
export * from "../numbers.ts";
export * from "../onnx/data-files.ts";
export * from "../onnx/data-names.ts";
export * from "../onnx/encode.ts";
export * from "../onnx/index.ts";
export * from "../onnx/sniff.ts";
export * from "../onnx/value-info.ts";
export * from "../onnx/wire.ts";
export * from "../onnx/writer.ts";
export * from "../plain.ts";
