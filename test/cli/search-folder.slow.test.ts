/** `pith compress` of a folder with samples: each model in it is searched over all techniques. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { FolderFile } from "../../src/folder/index.ts";
import { parseModel } from "../../src/graph/text.ts";
import { save } from "../../src/onnx/index.ts";
import { random } from "../../src/tensor/random.ts";
import { outliers } from "../outliers.ts";
import { textToText } from "../transformers-js/small-folders.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  mkdirSync(join(at("folder"), "onnx"), { recursive: true });
  await save(parseModel(outliers), join(at("folder"), "onnx", "model.onnx"));
  writeFileSync(join(at("folder"), "config.json"), "{}");
  await textToText(at("t5"));
  const { integer } = random(1, "texts");
  const line = () => Array.from({ length: 2 + integer(6) }, () => `w${1 + integer(95)}`).join(" ");
  writeFileSync(at("lines.txt"), Array.from({ length: 64 }, () => `${line()}\n`).join(""));
});

async function compress(folder: string, out: string, ...words: readonly string[]) {
  const { code, err } = await pith("compress", at(folder), ...words, "-o", out);
  const { files } = readJson(out, "quantize_config.json");
  return { code, err, files: files as Readonly<Record<string, FolderFile>> };
}

const readJson = (...path: readonly string[]) => JSON.parse(readFileSync(join(...path), "utf8"));

test("the result of the search takes the place of the original where it is smaller than every dtype, and its recipe makes the same file", async () => {
  const [out, again] = [at("searched"), at("again")];
  const data = ["--data", at("points.csv"), "--max-drop", "2%"];
  const { code, err, files } = await compress("folder", out, ...data, "--for", "size", "--steps", "8");
  expect(code, err).toBe(0);
  expect(files).toEqual({ "onnx/model.onnx": expect.objectContaining({ dtype: "searched" }) });
  expect(readdirSync(join(out, "onnx"))).toEqual(["model.onnx"]);
  const result = readFileSync(join(out, "onnx", "model.onnx"));
  expect(files["onnx/model.onnx"]?.bytes).toBe(result.length);
  expect(readJson(out, "config.json")["transformers.js_config"]).toEqual({ dtype: { model: "fp32" } });
  writeFileSync(at("recipe.yaml"), files["onnx/model.onnx"]?.recipe?.text ?? "");
  const model = join(at("folder"), "onnx", "model.onnx");
  const repeated = await pith("compress", model, ...data, "-r", at("recipe.yaml"), "--force", "-o", again);
  expect(repeated.code, repeated.err).toBe(0);
  expect(readFileSync(join(again, "model.onnx"))).toEqual(result);
  expect(readdirSync(join(out, "search", "model"))).toContain("report.html");
});

test("of an encoder and a decoder each is searched by what it is fed while both continue the texts", async () => {
  const out = at("t5.compressed");
  const words = ["--text", at("lines.txt"), "--for", "size", "--steps", "16"];
  const { code, err, files } = await compress("t5", out, ...words);
  console.log(err, JSON.stringify(files, null, 1));
  expect(code, err).toBe(0);
});
