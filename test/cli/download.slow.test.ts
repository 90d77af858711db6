/** Tests low-entropy values on the command line: training, stopping and resuming. */
import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { random } from "../../src/core/tensor/random.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
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

describe("--max-drop with rdoq", () => {
  const strong = ["--rounder", "rdoq", "--distortion", "0.32"];

  test("lowers the distortion until the goal is met, and prints it", async () => {
    const { code, out, err } = await pith(...words(...strong, "--max-drop", "20%", ...data()));
    expect(code, err).toBe(0);
    expect(err).toMatch(/points lost, 20\.0 points allowed/);
    expect(out).toMatch(/distortion 0\.\d+/);
  });
});

describe("--epochs with rdoq", () => {
  const trained = ["--rounder", "rdoq", "--distortion", "0.1", "--epochs", "2"];

  test("writes the same file as a recipe with the same options", async () => {
    const alone = await json(...words(...trained, ...lossy()));
    expect(alone).toMatchObject({ code: 0 });
    const steps = "steps:\n  - quantize: { scheme: weights, rounder: rdoq, distortion: 0.1, epochs: 2 }\n";
    writeFileSync(at("recipe.yaml"), steps);
    const rest = ["--recipe", at("recipe.yaml"), "-o", at("recipe"), ...lossy()];
    const { code, err } = await pith("compress", at("network.onnx"), ...rest);
    expect(code, err).toBe(0);
    expect(readFileSync(at("recipe/model.onnx")).equals(readFileSync(at("out.onnx")))).toBe(true);
  });

  test("resumes a stopped training with --resume, and rejects it without a checkpoint", async () => {
    const checkpoint = ["--checkpoint", at("checkpoint")];
    const first = await pith(...words(...trained, ...checkpoint, ...lossy()));
    expect(first.code, first.err).toBe(0);
    const { code, err } = await pith(...words(...trained, ...checkpoint, "--resume", ...lossy(), "--force"));
    expect(code, err).toBe(0);
    expect(err).toContain("the checkpoint has done the 2 epochs that are requested");
    const rejected = await pith(...words(...trained, "--resume", ...lossy()));
    expect(rejected.code).toBe(2);
    expect(rejected.err).toContain("--resume: expected --checkpoint, the folder to continue from");
  });
});
