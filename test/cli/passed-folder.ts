/** What a folder contains after a command has changed its model. */
import { join } from "node:path";

export const result = ["LICENSE", "config.json", "onnx", join("onnx", "model.onnx"), "tokenizer.json"];

export const half = ["--structured", "50%", "--force"];
