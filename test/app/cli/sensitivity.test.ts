/** Tests the table, page, data and recipes of `pith sensitivity`. */
import { existsSync, readFileSync } from "node:fs";
import { parseRecipe, type Sensitivity } from "pith/compress";
import { beforeAll, expect, test } from "vitest";
import { formatRecipe } from "../../../src/app/cli/processes/sensitivity.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { cachedDecoder } from "../../language-model.ts";
import { pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  const dense = hidden.replaceAll(/\b0([,\]])/g, "0.01$1");
  await save(parseModel(dense), at("dense.onnx"));
});

test("measures a language model without data on text that it generates, by its agreement with the original", async () => {
  await save(cachedDecoder(), at("decoder.onnx"));
  const words = ["sensitivity", at("decoder.onnx"), "--kinds", "bits", "-o", at("own-text")];
  const { code, out, err } = await pith(...words);
  expect({ code, err }).toMatchObject({
    code: 0,
    err: expect.stringContaining("samples: text that the model generated"),
  });
  expect(out).toMatch(/^agreement of the original +100\.0 %/);
  expect(out).toMatch(/\nnext: pith compress .* --data own-text -r /);
  const { data, rows } = JSON.parse(readFileSync(at("own-text/sensitivity.json"), "utf8")) as Sensitivity;
  expect(data).toEqual({ name: "text that the model generated: 8 sequences of 64 tokens, seed 0", count: 8 });
  expect(rows.length).toBeGreaterThan(2);
});

test("a recipe of a sweep that ran out of time states how many settings were measured", () => {
  const recipe = parseRecipe("steps: [{ prune: { amount: 10% } }]");
  const drop = { value: 0, low: 0, high: 0, confidence: 0.95, count: 1 };
  const rows = [{ kind: "prune", layers: ["fc1"], setting: 0.2, drop, bytes: 4, saved: 1 } as const];
  const headerOf = (open: number): string => formatRecipe({ share: 0.9, recipe }, { model: "m", rows, open }, "bytes");
  expect(headerOf(71)).toContain("\n# Only 1 of 72 settings were measured before time ran out;");
  expect(headerOf(0)).not.toContain("measured");
  expect(parseRecipe(headerOf(71))).toEqual(recipe);
});

test.each([
  [["--kinds", "prune"], /Samples are needed/],
  [["--data", "points.csv", "--kinds", "weights"], /--kinds: expected/],
  [["--data", "points.csv", "--layers", "fc9"], /No layer is called "fc9"/],
  [["--data", "points.csv", "--budget", "2"], /--budget/],
])("rejects %j", async (words, sentence) => {
  const resolvedWords = words.map((word) => (word === "points.csv" ? at(word) : word));
  const { code, err } = await pith("sensitivity", at("dense.onnx"), ...resolvedWords, "-o", at("rejected"));
  expect(code).toBeGreaterThan(0);
  expect(err).toMatch(sentence);
  expect(existsSync(at("rejected"))).toBe(false);
});

test("rejects a model at chance level", async () => {
  const { code, err } = await pith("sensitivity", at("zero.onnx"), "--data", at("points.csv"), "-o", at("chance"));
  expect(code).toBe(1);
  expect(err).toContain("always predicting the most frequent class would score");
  expect(err).not.toContain("--force");
});
