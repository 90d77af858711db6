import { basename } from "node:path";
import { expect, test } from "vitest";
import { pathNextTo } from "./file-paths.ts";

const here = basename(process.cwd());

test.each([
  ["minilm", "minilm.quantized"],
  ["models/minilm/", "models/minilm.quantized"],
  ["/models/minilm", "/models/minilm.quantized"],
  [".", `../${here}.quantized`],
  [`../${here}/`, `../${here}.quantized`],
])("besideInput names the output for the folder %s %s", (folder, written) => {
  expect(pathNextTo(folder, ".quantized")).toBe(written);
});

const snapshot = "/home/me/hub/models--owner--minilm/snapshots/0123abcd";

test.each([
  [snapshot, "minilm.quantized"],
  [`${snapshot}/onnx/model.onnx`, "minilm.quantized"],
  [`${snapshot}/onnx/decoder_model.onnx`, "decoder_model.quantized"],
])("besideInput names an output in the current folder for %s in the cache of the Hub", (path, written) => {
  expect(pathNextTo(path, ".quantized")).toBe(written);
});
