/** The models and data of the bench: small valid ones, and every kind of file that users pass by mistake. */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { strToU8, zipSync } from "fflate";
import type { Model } from "pith";
import { float32, inMemory, save } from "pith";
import { parseModel, random } from "pith/extend";
import { linear, network, relu } from "pith/nn";
import { quantize } from "pith/quantize";

/** A network with two duplicated features. It adds each pair, and the larger sum is the class. */
const sums = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  encoder.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [0.5, 0], [0, 0.5]]
  encoder.bias: float32[4] parameter = zeros
  head.weight: float32[2, 4] parameter = [[1, 0, 1, 0], [0, 1, 0, 1]]
  head.bias: float32[2] parameter = zeros
  between = Gemm "encoder" (features, encoder.weight, encoder.bias) {transB=1}
  active = Relu(between)
  logits = Gemm "head" (active, head.weight, head.bias) {transB=1}
}
`;

const images = `opset 21
graph (image: float32[batch, 3, 8, 8]) -> (logits: float32[batch, 2]) {
  conv.weight: float32[4, 3, 3, 3] parameter = random(seed 1)
  conv.bias: float32[4] parameter = zeros
  head.weight: float32[2, 4] parameter = random(seed 2)
  head.bias: float32[2] parameter = zeros
  features = Conv "conv" (image, conv.weight, conv.bias)
  pooled = GlobalAveragePool(features)
  flat = Flatten(pooled)
  logits = Gemm "head" (flat, head.weight, head.bias) {transB=1}
}
`;

const foreign = `opset 21, my.company 1
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  head.weight: float32[2, 2] parameter = [[1, 0], [0, 1]]
  head.bias: float32[2] parameter = zeros
  folded = my.company.Fold(features)
  logits = Gemm "head" (folded, head.weight, head.bias) {transB=1}
}
`;

/** A network with ReduceProd, which has no gradient. */
const determined = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  spread.weight: float32[4, 2] parameter = [[1, 0], [0, 1], [1, 1], [0, 2]]
  last: int64[1] = [1]
  between = Gemm "spread" (features, spread.weight) {transB=1}
  column = ReduceProd(between, last)
  logits = Mul(column, features)
}
`;

/** A network whose values differ by a factor of 1000 within a channel. Eight bits round the small values to 0, and these decide the class. */
const lopsided = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 4]) {
  spread.weight: float32[4, 2] parameter = [[1, 0], [-1, 0], [0, 1], [0, -1]]
  mixed.weight: float32[4, 4] parameter = [[1000, 1000, 1, 0], [1000, 1000, 0, 1], [1000, 1000, -1, 0], [1000, 1000, 0, -1]]
  between = Gemm "spread" (features, spread.weight) {transB=1}
  logits = Gemm "mixed" (between, mixed.weight) {transB=1}
}
`;

const samples = 400;

/** Writes all files into a folder. No case is supposed to change them. */
export async function makeFiles(folder: string): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const write = (name: string, content: string | Uint8Array): void => writeFileSync(at(name), content);
  await makeModels(at);
  makeStrangers(write, at);
  makeData(write, at);
  makeRecipes(write);
  mkdirSync(at("models"));
  mkdirSync(at("empty"));
  write("taken", "This is a file.\n");
  write("score.mjs", "export default 3;\n");
}

async function makeModels(at: (name: string) => string): Promise<void> {
  const model = parseModel(sums);
  await save(model, at("net.onnx"));
  // These weights misclassify samples whose second feature is only slightly larger than the first.
  const slanted = "[[1, 0], [0, 0.8], [0.5, 0], [0, 0.4]]";
  await save(parseModel(sums.replace("[[1, 0], [0, 1], [0.5, 0], [0, 0.5]]", slanted)), at("worse.onnx"));
  await save(parseModel(images), at("images.onnx"));
  await save(parseModel(foreign), at("foreign.onnx"));
  await save(parseModel(determined), at("determined.onnx"));
  await save(parseModel(lopsided), at("lopsided.onnx"));
  await save(parseModel(sums.replace("opset 21", "opset 99")), at("opset99.onnx"));
  const quantized = model.clone();
  await quantize(quantized, { scheme: "weights" });
  await save(quantized, at("quantized.onnx"));
  // An untrained network that always predicts the same class.
  const untrained = network({ fc1: linear(2, 8), relu: relu(), fc2: linear(8, 2) }, { input: ["batch", 2], seed: 1 });
  await save(constant(untrained), at("untrained.onnx"));
  const netBytes = readFileSync(at("net.onnx"));
  writeFileSync(at("truncated.onnx"), netBytes.subarray(0, Math.floor(netBytes.length * 0.6)));
  const flipped = Uint8Array.from(netBytes);
  flipped.fill(0xff, Math.floor(netBytes.length / 3), Math.floor(netBytes.length / 3) + 40);
  writeFileSync(at("damaged.onnx"), flipped);
  writeFileSync(at("zero-bytes.onnx"), "");
  await makeOutside(at);
}

/** Makes the prediction depend only on the bias of the last layer. */
function constant(model: Model): Model {
  const bias = model.graph.value("fc2.bias");
  if (bias === undefined) throw new Error("The network has no fc2.bias.");
  bias.tensor = inMemory(float32([2], Float32Array.of(100, -100)));
  return model;
}

/** Writes models with external data: one whose data file is missing, and ones whose data is outside the folder. */
async function makeOutside(at: (name: string) => string): Promise<void> {
  const wide = network({ fc1: linear(32, 32), relu: relu(), fc2: linear(32, 2) }, { input: ["batch", 32], seed: 1 });
  await save(wide, at("outside.onnx"), { externalData: true });
  const bytes = readFileSync(at("outside.onnx")).toString("latin1");
  const renamed = (name: string): Buffer => Buffer.from(bytes.replaceAll("outside.onnx_data", name), "latin1");
  // The new name has the length of the replaced one, because protobuf stores the length before the text.
  writeFileSync(at("escaping.onnx"), renamed("../../etc/passwd1"));
  writeFileSync(at("absolute.onnx"), renamed("/etc/security/abc"));
  writeFileSync(at("linked.onnx"), renamed("linked.onnx_data1"));
  symlinkSync("/etc/passwd", at("linked.onnx_data1"));
  renameSync(at("outside.onnx"), at("lonely.onnx"));
  rmSync(at("outside.onnx_data"));
}

/** Writes files that users confuse with models. */
function makeStrangers(
  write: (name: string, content: string | Uint8Array) => void,
  at: (name: string) => string,
): void {
  write("notes.onnx", "This was to be a model, and is a text of some length.\n");
  write("model.pt", zipSync({ "archive/data.pkl": strToU8("weights"), "archive/version": strToU8("3\n") }));
  const header = '{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  write("model.safetensors", Buffer.concat([length, Buffer.from(header), Buffer.alloc(8)]));
  write("model.gguf", Buffer.concat([Buffer.from("GGUF"), Buffer.alloc(60, 3)]));
  write("model.tflite", Buffer.concat([Buffer.from([28, 0, 0, 0]), Buffer.from("TFL3"), Buffer.alloc(60, 1)]));
  write("page.onnx", "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n");
  write("pointer.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
  symlinkSync("nowhere.onnx", at("dangling.onnx"));
  symlinkSync("net.onnx", at("alias.onnx"));
}

function makeData(write: (name: string, content: string | Uint8Array) => void, at: (name: string) => string): void {
  const numbers = random(1, "mistakes");
  const rows = Array.from({ length: samples }, () => [1 + numbers.normal() / 4, 1 + numbers.normal() / 4] as const);
  const table = (title: string, cells: (a: number, b: number) => readonly (string | number)[]): string =>
    `${title}\n${rows.map(([a, b]) => cells(a, b).join(",")).join("\n")}\n`;
  const label = (a: number, b: number): number => (a > b ? 0 : 1);
  write(
    "points.csv",
    table("a,b,label", (a, b) => [a, b, label(a, b)]),
  );
  write(
    "wide.csv",
    table("a,b,c,label", (a, b) => [a, b, a, label(a, b)]),
  );
  write(
    "classes.csv",
    table("a,b,label", (a, b) => [a, b, 7]),
  );
  write(
    "unlabelled.csv",
    table("a,b", (a, b) => [a, b]),
  );
  write(
    "words.csv",
    table("a,b,label", (a, b) => [a, "much", label(a, b)]),
  );
  write("ragged.csv", "a,b,label\n1,2,0\n1,2\n");
  write("titles.csv", "a,b,label\n");
  write("broken.jsonl", '{"a": 1, "b": 2, "label": 0}\n{"a": 1, "b": \n');
  write("broken.npz", "PK\u0003\u0004 and then nothing that belongs there");
  write("module.mjs", "export default 3;\n");
  mkdirSync(at("photos"));
  const data = new Uint8Array(8 * 8 * 3).fill(100);
  for (let photo = 0; photo < 12; photo++)
    write(`photos/${photo}.png`, encode({ width: 8, height: 8, channels: 3, data }));
  mkdirSync(at("spoiled"));
  for (const name of ["cat", "dog"]) {
    mkdirSync(at(`spoiled/${name}`));
    write(`spoiled/${name}/one.png`, "This is no image, whatever its name.");
  }
}

function makeRecipes(write: (name: string, content: string) => void): void {
  write("syntax.yaml", "steps:\n  - quantize: { scheme: dynamic\n");
  write("unknown.yaml", "steps:\n  - quantise: { scheme: dynamic }\n");
  write("type.yaml", "steps:\n  - prune: { amount: half }\n");
  write("option.yaml", "steps:\n  - prune: { amuont: 0.5 }\n");
  write("none.yaml", "steps: []\n");
  write("future.yaml", "version: 2\nsteps:\n  - prune: { amount: 0.5 }\n");
  write("teacher.yaml", "steps:\n  - distill: { teacher: nowhere.onnx, epochs: 1 }\n");
  write("layer.yaml", "steps:\n  - prune: { amount: 0.5, layers: encodr }\n");
  write("cut.yaml", "steps:\n  - prune: { structured: true, amount: 0.9 }\n");
  write("long.yaml", "steps:\n  - train: { epochs: 100000 }\n");
}
