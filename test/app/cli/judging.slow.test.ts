/** Commands report the loss, the possible gain, and differences that the samples cannot show. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

/** The first layer repeats each feature twice, and the second adds them. The class is the greater feature. */
const sums = `opset 21
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

const data = ["--data", at("points.csv")];

beforeAll(async () => {
  await save(parseModel(sums), at("sums.onnx"));
  await save(
    parseModel(sums.replace("[[1, 0, 1, 0]", "[[1, 0, 2, 0]").replace("[0, 1, 0, 1]]", "[0, 1, 0, 2]]")),
    at("teacher.onnx"),
  );
  const numbers = random(1, "points");
  const rows = Array.from({ length: 400 }, () => {
    const [a, b] = [1 + numbers.normal() / 4, 1 + numbers.normal() / 4];
    return `${a},${b},${a > b ? 0 : 1}`;
  });
  writeFileSync(at("points.csv"), `a,b,label\n${rows.join("\n")}\n`);
});

test("prune with --keep-masks prints a note about stored zeros", async () => {
  const { out } = await pith("prune", at("sums.onnx"), "--amount", "50%", "--keep-masks", "-o", at("masked.onnx"));
  expect(out).toMatch(/\nThe zeros are stored\. /);
});

test("train and distill write no model that lost its accuracy, unless forced", async () => {
  const wild = ["--optimizer", "sgd", "--learning-rate", "30", "--epochs", "2", "--schedule", "constant"];
  const words = [...data, ...wild, "--batch", "32", "--seed", "1", "-o", at("wild.onnx")];
  for (const command of [["train"], ["distill", "--teacher", at("teacher.onnx")]]) {
    const { code, err } = await pith(...command, at("sums.onnx"), ...words);
    expect(code).toBe(1);
    expect(err).toMatch(
      /E_ACCURACY_LOST: (?:Against \S+, a|A)ccuracy went from 100\.0+ % to \S+ %: .* Nothing was written\.\n.*--learning-rate/,
    );
    expect(existsSync(at("wild.onnx"))).toBe(false);
  }
  expect(await pith("train", at("sums.onnx"), ...words, "--force")).toMatchObject({
    code: 0,
    out: expect.stringMatching(/change: .*--force/),
  });
  expect(existsSync(at("wild.onnx"))).toBe(true);
});

test("compress of a quantized model reports that nothing could be done, and times nothing", async () => {
  const quantized = at("quantized.onnx");
  await pith("quantize", at("sums.onnx"), "--scheme", "static", ...data, "--force", "-o", quantized);
  const { code, out, err } = await pith("compress", quantized, ...data, "-o", at("none"), "--json");
  expect(code).toBe(1);
  const { error } = JSON.parse(err.trim().split("\n").at(-1) ?? "");
  expect(error).toMatchObject({ code: "E_UNSUPPORTED", hint: expect.not.stringContaining("--max-drop") });
  expect(error.message).toMatch(
    /^There was nothing to do \(int8 static, int8 dynamic, int8 weights, int8 static per tensor: .*quantized.*\)\. No model was written; \S+report\.html shows what was tried\.$/,
  );
  const { variants, latency } = JSON.parse(out);
  expect(variants).toHaveLength(4);
  expect(latency).toBeUndefined();
});

test("warns of the share of tokens that the tokenizer does not know", async () => {
  const model = `opset 21
graph (input_ids: int64[batch, sequence]) -> (logits: float32[batch, 2]) {
  table: float32[4, 2] = [[0, 0], [1, 0], [0, 1], [0.5, 0]]
  embedded = Gather(table, input_ids)
  logits = ReduceMean "pool" (embedded, axes) {keepdims=0}
  axes: int64[1] = [1]
}
`;
  await save(parseModel(model), at("words.onnx"));
  const vocab = { "[UNK]": 0, good: 1, bad: 2, film: 3 };
  const parts = { pre_tokenizer: { type: "Whitespace" }, normalizer: null, post_processor: null, decoder: null };
  const tokenizer = { added_tokens: [], ...parts, model: { type: "WordLevel", vocab, unk_token: "[UNK]" } };
  writeFileSync(at("tokenizer.json"), JSON.stringify(tokenizer));
  const judge = async (name: string, text: string) => {
    writeFileSync(at(name), text.repeat(10));
    return pith("eval", at("words.onnx"), "--original", at("words.onnx"), "--data", at(name));
  };
  expect(await judge("known.txt", "good film\nbad film\ngood good\nbad bad bad luck\n")).toMatchObject({
    code: 0,
    err: expect.not.stringContaining("unknown"),
  });
  const { code, err } = await judge("foreign.txt", "bon film\nmauvais film\n");
  expect(code).toBe(0);
  expect(err).toMatch(/unknown-tokens: 50\.0 % of the tokens of \S*foreign\.txt.* are unknown to tokenizer\.json/);
});
