/** Exports the graph and its file format to code above `core` (`#ir`). */
export * from "../graph/index.ts";
export * from "../onnx/data-files.ts";
export * from "../onnx/encode.ts";
export * from "../onnx/index.ts";
export * from "../onnx/sniff.ts";
export * from "../onnx/value-info.ts";
export * from "../onnx/wire.ts";
export * from "../onnx/writer.ts";
