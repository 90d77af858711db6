/** `pith quantize` on a folder as transformers.js lays it out, and the mistakes that can be made. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { save } from "../../src/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { json, pith } from "./run.ts";

const root = temporaryFolder();
const folder = join(root, "model");

beforeAll(async () => {
  await mkdir(join(folder, "onnx"), { recursive: true });
  const network = parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  y = MatMul "a" (x, a.weight)
}`);
  await save(network, join(folder, "onnx", "model.onnx"));
  // Nothing to quantize.
  await save(
    parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"),
    join(folder, "onnx", "relu.onnx"),
  );
});

test("each file has a line, and one that is refused makes the exit code 1", async () => {
  const out = join(root, "out");
  const { code, out: text } = await pith("quantize", folder, "--dtype", "q8,q4", "-o", out);
  expect(code).toBe(1);
  expect(text).toMatch(/^q8 +onnx\/model_quantized\.onnx .* kB .*signal to noise .* kept$/m);
  expect(text).toMatch(/^q4 +onnx\/relu_q4\.onnx +refused: Nothing changed\.$/m);
  expect(await readdir(join(out, "onnx"))).toEqual([
    "model.onnx",
    "model_q4.onnx",
    "model_quantized.onnx",
    "relu.onnx",
  ]);
  const again = await json("quantize", folder, "--dtype", "q8,q4", "-o", out);
  expect(again).toMatchObject({ code: 1, files: [{ verdict: "there" }, {}, { verdict: "there" }, {}] });
});

test("a single model is called as transformers.js looks for it", async () => {
  const model = join(folder, "onnx", "model.onnx");
  expect(await json("quantize", model, "--dtype", "q4")).toMatchObject({
    code: 0,
    written: join(folder, "onnx", "model_q4.onnx"),
  });
});

test.each([
  [["onnx/model.onnx", "--dtype", "q8,q4"], "E_USAGE: Several variants, and --chunk, are for a folder"],
  [["", "--dtype", "q8", "--scheme", "weights"], "E_OPTION: Give exactly one of --scheme and --dtype."],
  [["", "--dtype", "q8", "--dry-run"], "E_USAGE: --dry-run is for a single model."],
  [["", "--dtype", "q8", "--text", "a", "--data", "b"], "E_USAGE: Give one of --text and --data."],
  [["", "--dtype", "q9"], "E_OPTION: --dtype: expected"],
  [["", "--dtype", "q8", "--chunk", "24"], "E_OPTION: --chunk takes a size such as 24MB"],
])("%j: %s", async ([path = "", ...words], message) => {
  const { code, err } = await pith("quantize", join(folder, path), ...words, "-o", join(root, "none"));
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
});
