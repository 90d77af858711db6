/** Names in a file can contain any characters. They must reach the terminal as plain text only. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

/** Clears the screen, starts a new line and reverses the text. */
const hostile = "\u001b[2J\u001b[31m\nE_OK: fine\r\u009b8m\u202e\u200b\ufeff\u0007";
// biome-ignore lint/suspicious/noControlCharactersInRegex: the tests search for these characters
const unprintable = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;

beforeAll(async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 8]) -> (y: float32[batch, 4]) {
  a.weight: float32[16, 8] = random(seed 1)
  b.weight: float32[4, 16] = random(seed 2)
  h = Gemm "first" (x, a.weight) {transB=1}
  r = Relu(h)
  y = Gemm "second" (r, b.weight) {transB=1}
}`);
  for (const value of [...model.graph.values()]) model.graph.rename(value, `${value.name}${hostile}`);
  for (const node of model.graph.nodes()) node.name = `${node.name}${hostile}`;
  await save(model, at("net.onnx"));
});

describe("escapes control characters in names", () => {
  test.each([
    [["inspect"]],
    [["inspect", "--weights"]],
    [["simplify", "-o", at("simplified.onnx")]],
    [["prune", "--amount", "0.3", "-o", at("pruned.onnx"), "--force"]],
    [["prune", "--structured", "--amount", "0.3", "-o", at("cut.onnx"), "--force"]],
    [["quantize", "--scheme", "weights", "-o", at("quantized.onnx"), "--force"]],
    [["factorize", "--budget", "0.9", "-o", at("factorized.onnx"), "--force"]],
    [["prune", "--amount", "0.3", "--layers", `nothing${hostile}`, "-o", at("none.onnx")]],
    [["quantize", "--scheme", "static", "--data", at(`no${hostile}.csv`), "-o", at("none.onnx")]],
  ])("%j", async ([command = "", ...options]) => {
    for (const more of [[], ["--json"]]) {
      const { out, err } = await pith(command, at("net.onnx"), ...options, ...more);
      const text = out + err;
      expect(text).not.toMatch(unprintable);
      expect(text.split("\n").filter((line) => line.startsWith("E_OK"))).toEqual([]);
    }
  });
});

test("escapes names in Markdown, so that they add no cells, code, HTML or lines", async () => {
  const model = at("a|b`c`<i>\n# d\u202e.onnx");
  copyFileSync(at("net.onnx"), model);
  writeFileSync(at("score.mjs"), "export default () => 0.5;");
  expect(await pith("eval", model, "--score", at("score.mjs"), "--markdown", at("names.md"))).toMatchObject({
    code: 0,
  });
  const lines = readFileSync(at("names.md"), "utf8").split("\n");
  expect(lines[0]).toMatch(/^### .*a\\\|b\\`c\\`&#60;i&#62; \\# d\\\\u202e\.onnx$/);
  expect(lines.filter((line) => line.startsWith("#"))).toHaveLength(1);
});

test("keeps names unchanged in written files", async () => {
  const { graph } = await open(at("net.onnx"));
  expect(graph.inputs[0]?.name).toBe(`x${hostile}`);
});
