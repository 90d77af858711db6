/** A network whose download is measured. */
import { writeFileSync } from "node:fs";
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { smallModels } from "./small-models.ts";

const network = `opset 21
graph (features: float32[batch, 8]) -> (logits: float32[batch, 4]) {
  fc1.weight: float32[64, 8] parameter = random(seed 1)
  fc1.bias: float32[64] parameter = zeros
  fc2.weight: float32[64, 64] parameter = random(seed 2)
  fc2.bias: float32[64] parameter = zeros
  fc3.weight: float32[4, 64] parameter = random(seed 3)
  fc3.bias: float32[4] parameter = zeros
  a = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  b = Relu(a)
  c = Gemm "fc2" (b, fc2.weight, fc2.bias) {transB=1}
  d = Relu(c)
  logits = Gemm "fc3" (d, fc3.weight, fc3.bias) {transB=1}
}
`;

/** Writes a network and rows into a folder of the test file. */
export function preparedDownload() {
  const { at, folder } = smallModels();
  const words = (...more: readonly string[]): string[] => [
    ...["quantize", at("network.onnx"), "--scheme", "weights", "-o", at("out.onnx")],
    ...more,
  ];
  const data = (): readonly string[] => ["--data", at("rows.csv"), "--metric", "agreement"];
  /** Allows any loss, so that only the size decides. */
  const lossy = (): readonly string[] => [...data(), "--max-drop", "99%"];

  beforeAll(async () => {
    await save(parseModel(network), at("network.onnx"));
    const numbers = random(5, "rows");
    const names = Array.from({ length: 8 }, (_, index) => `x${index}`);
    const rows = Array.from({ length: 600 }, () => names.map(() => numbers.normal()).join(","));
    writeFileSync(at("rows.csv"), `${names.join(",")}\n${rows.join("\n")}\n`);
  });
  return { at, folder, words, data, lossy };
}
