/**
 * The text of thirty commands, with `#` for each number. A change of structure keeps it; a change of a sentence shows in its diff.
 * Run with `-u` to store new text.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { outliers } from "../../outliers.ts";
import { modelFolder } from "./model-folders.ts";
import { pith } from "./run.ts";
import { float, smallModels } from "./small-models.ts";

const { folder, at } = smallModels();
const { root, folder: modelFiles } = modelFolder();
const data = ["--data", at("points.csv")];
const out = ["-o", at("result.onnx")];

beforeAll(async () => {
  await save(parseModel(outliers), at("outliers.onnx"));
  await save(parseModel(float), at("float.onnx"));
  writeFileSync(at("broken.onnx"), "no model");
  writeFileSync(at("recipe.yaml"), "steps:\n  - prune: { amount: 0.5 }\n  - quantize: { scheme: weights }\n");
  mkdirSync(at("empty"));
});

/** Name → words of a command line. */
const commandLines: Readonly<Record<string, readonly string[]>> = {
  inspect: ["inspect", at("hidden.onnx")],
  "inspect-weights": ["inspect", at("hidden.onnx"), "--weights"],
  "inspect-layer": ["inspect", at("hidden.onnx"), "fc1"],
  simplify: ["simplify", at("outliers.onnx"), ...out],
  eval: ["eval", at("near.onnx"), ...data],
  "eval-original": ["eval", at("near.onnx"), ...data, "--original", at("right.onnx")],
  "eval-without-data": ["eval", at("near.onnx"), "--original", at("right.onnx")],
  plot: ["plot", at("hidden.onnx"), "-o", at("plot.svg")],
  debug: ["debug", at("near.onnx"), at("right.onnx"), ...data],
  compress: ["compress", at("outliers.onnx"), ...data, "--steps", "4", "--for", "size", "-o", at("searched")],
  "compress-recipe": ["compress", at("right.onnx"), ...data, "-r", at("recipe.yaml"), "-o", at("by-recipe")],
  sensitivity: ["sensitivity", at("hidden.onnx"), ...data, "-o", at("recipes")],
  train: ["train", at("zero.onnx"), ...data, "--epochs", "2", "--batch", "64", ...out],
  prune: ["prune", at("right.onnx"), "--amount", "50%", ...out],
  "prune-data": ["prune", at("right.onnx"), "--amount", "50%", ...data, ...out],
  "prune-rejected": ["prune", at("mixed.onnx"), "--amount", "50%", ...data, ...out],
  "prune-structured": ["prune", at("hidden.onnx"), "--structured", "50%", ...out],
  "prune-dry-run": ["prune", at("float.onnx"), "--amount", "50%", "--dry-run"],
  "quantize-weights": ["quantize", at("float.onnx"), "--scheme", "weights", ...out],
  "quantize-dynamic": ["quantize", at("float.onnx"), "--scheme", "dynamic", ...out],
  "quantize-static": ["quantize", at("outliers.onnx"), "--scheme", "static", ...data, ...out],
  "quantize-forced": ["quantize", at("mixed.onnx"), "--bits", "2", ...data, "--force", ...out],
  "quantize-folder": ["quantize", modelFiles, "--dtype", "q8", "-o", join(root, "quantized")],
  factorize: ["factorize", at("float.onnx"), "--rank", "2", ...out],
  distill: ["distill", at("zero.onnx"), "--teacher", at("right.onnx"), ...data, "--epochs", "2", ...out],
  recover: ["recover", at("mixed.onnx"), "--original", at("right.onnx"), ...data, ...out],
  "error-file": ["quantize", at("missing.onnx"), "--scheme", "weights"],
  "error-model": ["inspect", at("broken.onnx")],
  "error-flag": ["prune", at("right.onnx"), "--amout", "50%"],
  "error-folder": ["quantize", at("empty"), "--scheme", "weights"],
};

/** Replaces paths, numbers and spaces of tables, and removes sentences about speed, which differ between machines. */
function withoutNumbers(text: string): string {
  return text
    .replaceAll(folder, "<models>")
    .replaceAll(root, "<folders>")
    .replaceAll(" (replaced)", "")
    .split("\n")
    .filter(
      (line) => !/\bfast|\bslow|speed|\btime|takes|measurements in|\btook\b|seconds|\bms\b|\(\d[\d.]*–/i.test(line),
    )
    .map((line) => line.replace(/[−+]?\d[\d.,]*(e[-−+]?\d+)?/g, "#").replace(/\s+/g, " "))
    .join("\n");
}

test.each(Object.entries(commandLines))("%s prints the stored text", async (name, words) => {
  const { code, out: result, err } = await pith(...words);
  const text = `exit code ${code}\n\n${withoutNumbers(result)}\n${withoutNumbers(err)}`;
  await expect(text).toMatchFileSnapshot(`../../golden/commands/${name}.txt`);
});

test("run.json has the stored keys", async () => {
  const keys = new Set<string>();
  const visit = (value: unknown, path: string): void => {
    if (Array.isArray(value)) for (const item of value) visit(item, `${path}[]`);
    else if (typeof value !== "object" || value === null) keys.add(path);
    else for (const [key, item] of Object.entries(value)) visit(item, `${path}.${key}`);
  };
  visit(JSON.parse(readFileSync(join(at("searched"), "run.json"), "utf8")), "run");
  await expect(`${[...keys].toSorted().join("\n")}\n`).toMatchFileSnapshot("../../golden/commands/run-keys.txt");
});
