/** Models small enough to know every answer: two features, the class is the greater one; and data for them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { save } from "../../src/onnx/index.ts";
import { random } from "../../src/tensor/random.ts";
import { temporaryFolder } from "../temporary.ts";
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

const rows = (of: number, row: (at: number) => readonly number[]): string =>
  JSON.stringify(Array.from({ length: of }, (_, at) => row(at)));
const units = (of: number, value: (at: number) => number): number[] => Array.from({ length: of }, (_, at) => value(at));

/**
 * Each feature 32 times, twice handed on, and the sums. Two units of the first layer are always 0, and the weights of the second that read them so large that
 * codes of 8 and 4 bits leave nothing to the others.
 */
export const outliers = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[64, 2] parameter = ${rows(64, (at) => (at % 32 === 31 ? [0.01, 0.01] : [at < 32 ? 1 : 0, at < 32 ? 0 : 1]))}
  fc1.bias: float32[64] parameter = ${JSON.stringify(units(64, (at) => (at % 32 === 31 ? -1 : 0)))}
  fc2.weight: float32[64, 64] parameter = ${rows(64, (row) => units(64, (at) => (at % 32 === 31 ? 1000 : at === row ? 1 : 0)))}
  fc3.weight: float32[64, 64] parameter = ${rows(64, (row) => units(64, (at) => (at === row ? 1 : 0)))}
  fc4.weight: float32[2, 64] parameter = ${rows(2, (row) => units(64, (at) => (Math.floor(at / 32) === row ? 1 : 0)))}
  no: float32[64] = zeros
  none: float32[2] = zeros
  a = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  b = Relu(a)
  c = Gemm "fc2" (b, fc2.weight, no) {transB=1}
  d = Gemm "fc3" (c, fc3.weight, no) {transB=1}
  logits = Gemm "fc4" (d, fc4.weight, none) {transB=1}
}
`;

/** Of two outputs, the second of which goes through two layers. */
export const twoOutputs = `opset 21
graph (x: float32[n, 12]) -> (aux: float32[n, 12], y: float32[n, 12]) {
  w: float32[12, 12] = random(seed 1)
  v: float32[12, 12] = random(seed 2)
  aux = Relu(x)
  h = MatMul(x, w)
  r = Relu(h)
  y = MatMul(r, v)
}`;

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
