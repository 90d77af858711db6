/** Tests preprocessing that is stated, recorded, doubtful or ambiguous. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { aboveHalf, onePixel } from "./one-pixel.ts";
import { json, pith } from "./run.ts";

describe("a guessed preprocessing", () => {
  const pixels = { train: [10, 100], t10k: [100, 160] } as const;
  const quick = ["--epochs", "1", "--batch", "8"];

  test("is replaced by a stated one, and comes from the original if unrecorded", async () => {
    const folder = temporaryFolder();
    const data = onePixel("said", pixels);
    const [empty, stated] = [join(folder, "empty.onnx"), join(folder, "stated.onnx")];
    const model = await aboveHalf();
    await pith("prune", model, "--amount", "1", "--force", "-o", empty);
    expect((await open(empty)).header.metadata.has("pith.preprocessing")).toBe(false);
    const words = ["distill", empty, "--teacher", model, "--data", data, ...quick, "--force", "-o", stated];
    expect((await json(...words)).preprocessing).toMatch(/^guessed "unit"/);
    expect(await json(...words, "--preprocess", "raw")).toMatchObject({ preprocessing: "raw" });
    expect((await open(stated)).header.metadata.get("pith.preprocessing")).toBe("raw");
    expect((await pith("train", stated, "--data", data, ...quick, "--force", "-o", empty)).out).toContain(
      "preprocessing: raw, recorded in the model\n",
    );
  });
});

test("static calibration warns if presets with wider ranges fit about as well", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "sign.onnx");
  // The class is the brighter side at any scale.
  const text = `opset 21
graph (image: float32[batch, 1, 1, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[4, 2] parameter = [[1, -1], [-1, 1], [1, 0], [0, 1]]
  fc2.weight: float32[2, 4] parameter = [[1, -1, 1, -1], [-1, 1, -1, 1]]
  flat = Flatten(image)
  hidden = Gemm "fc1" (flat, fc1.weight) {transB=1}
  active = Relu(hidden)
  logits = Gemm "fc2" (active, fc2.weight) {transB=1}
}
`;
  await save(parseModel(text), model);
  const count = 400;
  const number = [0, 0, count >> 8, count & 255];
  const data = join(folder, "pairs");
  mkdirSync(data);
  const pixels = Array.from(
    { length: 2 * count },
    (_, at) => ((7 * (at >> 1)) % 200) + (at % 2 === (at >> 1) % 2 ? 40 : 0),
  );
  const images = Uint8Array.of(0, 0, 8, 3, ...number, 0, 0, 0, 1, 0, 0, 0, 2, ...pixels);
  const labels = Uint8Array.from([0, 0, 8, 1, ...number, ...Array.from({ length: count }, (_, at) => at % 2)]);
  for (const part of ["train", "t10k"]) {
    writeFileSync(join(data, `${part}-images-idx3-ubyte`), images);
    writeFileSync(join(data, `${part}-labels-idx1-ubyte`), labels);
  }
  const out = join(folder, "q.onnx");
  const words = ["quantize", model, "--data", data, "--force", "-o", out, "--scheme"];
  const warning =
    /^preprocessing: Several preprocessings fit about as well as "(unit|symmetric)", with which Pith calibrates \(.*"raw".*\)\. Inputs of a wider range lose accuracy\. Set the preprocessing of your application with --preprocess\.$/m;
  expect((await pith(...words, "static")).err).toMatch(warning);
  expect((await pith(...words, "static", "--preprocess", "raw")).err).not.toContain("Pith calibrates");
  expect((await pith(...words, "weights")).err).not.toContain("Pith calibrates");
});

describe("a detector on images with class labels", () => {
  test("with raw outputs is compared with its original by values, without a guess", async () => {
    const folder = onePixel("raw", { train: [200, 255], t10k: [200, 255] });
    const path = join(temporaryFolder(), "raw.onnx");
    const text = `opset 21
graph (input: float32[n, 1, 1, 1]) -> (found: float32[n, 6, 3, 3]) {
  w: float32[2, 1, 1, 1] = [[[[1]]], [[[-1]]]]
  boxes.w: float32[4, 1, 1, 1] = [[[[1]]], [[[2]]], [[[3]]], [[[4]]]]
  scored = Conv(input, w) {pads=[1, 1, 1, 1]}
  scores = Softmax(scored) {axis=1}
  boxes = Conv(input, boxes.w) {pads=[1, 1, 1, 1]}
  found = Concat(scores, boxes) {axis=1}
}`;
    await save(parseModel(text), path);
    const against = ["--original", path, "--data", folder];
    expect((await pith("eval", path, ...against)).err).toContain("for a detector");
    const report = await json("eval", path, ...against, "--preprocess", "unit");
    expect(report).toMatchObject({ code: 0, truth: "original", comparison: { metric: "R²", candidate: { value: 1 } } });
    const { code, err } = await pith("eval", path, "--data", folder, "--preprocess", "unit");
    expect([code, err]).toEqual([1, expect.stringContaining("has class labels, which are no ground truth")]);
    expect(err).not.toContain("text");
  });
});
