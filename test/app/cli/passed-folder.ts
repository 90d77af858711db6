/** Files of a result in a folder, and options that halve channels. */
import { join } from "node:path";

export const result = ["LICENSE", "config.json", "onnx", join("onnx", "model.onnx"), "tokenizer.json"];

export const half = ["--structured", "50%", "--force"];
