/** Models small enough to know every answer: two features, the class is the greater one; and data for them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json } from "./run.ts";

export const samples = 400;

export function classifier(weight: string): string {
  return `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[2, 2] parameter = ${weight}
  fc.bias: float32[2] parameter = zeros
  logits = Gemm "fc" (features, fc.weight, fc.bias) {transB=1}
}
`;
}

/** Two layers: each feature twice, and the sums. */
export const hidden = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [0.5, 0], [0, 0.5]]
  fc1.bias: float32[4] parameter = zeros
  fc2.weight: float32[2, 4] parameter = [[1, 0, 1, 0], [0, 1, 0, 1]]
  fc2.bias: float32[2] parameter = zeros
  between = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  active = Relu(between)
  logits = Gemm "fc2" (active, fc2.weight, fc2.bias) {transB=1}
}
`;

/** Network with two outputs: the first has no layer, the second has two. */
export const twoOutputs = `opset 21
graph (x: float32[n, 12]) -> (aux: float32[n, 12], y: float32[n, 12]) {
  w: float32[12, 12] = random(seed 1)
  v: float32[12, 12] = random(seed 2)
  aux = Relu(x)
  h = MatMul(x, w)
  r = Relu(h)
  y = MatMul(r, v)
}`;

/** Two layers with random weights. */
export const float = `opset 21
graph (features: float32[batch, 8]) -> (logits: float32[batch, 4]) {
  fc1.weight: float32[16, 8] parameter = random(seed 1)
  fc2.weight: float32[4, 16] parameter = random(seed 2)
  h = Gemm "fc1" (features, fc1.weight) {transB=1}
  logits = Gemm "fc2" (h, fc2.weight) {transB=1}
}
`;

/** Writes them into a folder of the test file's own; where a file of that folder lies. */
export function smallModels(): { readonly folder: string; readonly at: (name: string) => string } {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  beforeAll(async () => {
    await save(parseModel(classifier("[[1, 0.001], [0.001, 1]]")), at("right.onnx"));
    await save(parseModel(hidden), at("hidden.onnx"));
    // Always answers the first class.
    await save(parseModel(classifier("[[0, 0], [0, 0]]")), at("zero.onnx"));
    // Wrong where the second feature is the greater one by less than half of it.
    await save(parseModel(classifier("[[1, 0], [0, 0.9]]")), at("near.onnx"));
    // Right as well; without its smallest weights it answers as the one before.
    await save(parseModel(classifier("[[1, 0], [0.1, 0.9]]")), at("mixed.onnx"));
    const numbers = random(1, "test");
    const rows = Array.from({ length: samples }, () => {
      const [a, b] = [1 + numbers.normal() / 4, 1 + numbers.normal() / 4];
      return `${a},${b},${a > b ? 0 : 1}`;
    });
    writeFileSync(at("points.csv"), `a,b,label\n${rows.join("\n")}\n`);
  });
  return { folder, at };
}

export interface Numbers {
  readonly name: string;
  readonly zeros: number;
  readonly greatest: number;
}

export async function numbers(file: string, ...words: string[]): Promise<readonly Numbers[]> {
  const { weights } = await json("inspect", file, ...words);
  return weights as Numbers[];
}
