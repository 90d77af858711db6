/** Tests `pith compress -r` on several models, each with a folder of results. */
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { outliers } from "../outliers.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();
const models = (): string[] => ["dense", "outliers"].map((name) => at(`${name}.onnx`));
const running = (names: readonly string[], ...more: readonly string[]): string[] => [
  ...["compress", ...names, "--data", at("points.csv"), "-r", at("recipe.yaml"), ...more],
];

beforeAll(async () => {
  await save(parseModel(hidden.replaceAll(/\b0([,\]])/g, "0.01$1")), at("dense.onnx"));
  await save(parseModel(outliers), at("outliers.onnx"));
  writeFileSync(at("recipe.yaml"), "steps:\n  - prune: { amount: 10% }\n  - train: { epochs: 1 }\n");
});

test("names a model that fails, and writes the others", async () => {
  writeFileSync(at("broken.onnx"), "no model");
  const [first = ""] = models();
  const report = await json(...running([at("broken.onnx"), first], "--force", "--jobs", "2", "-o", at("some")));
  expect(report).toMatchObject({
    code: 1,
    models: [
      { model: at("broken.onnx"), rejected: { code: "E_NOT_ONNX" } },
      { model: first, out: at("some/dense"), run: { chosen: 0 } },
    ],
  });
  expect(existsSync(at("some/dense/model.onnx"))).toBe(true);
  expect(existsSync(at("some/broken"))).toBe(false);
});

test("rejects models with equal names, and several models without a recipe", async () => {
  const [first = ""] = models();
  mkdirSync(at("other"));
  writeFileSync(at("other/dense.onnx"), readFileSync(first));
  expect(await pith(...running([first, at("other/dense.onnx")], "-o", at("twice")))).toMatchObject({
    code: 2,
    err: expect.stringContaining(`Two results would be written to "${at("twice/dense")}".`),
  });
  expect(await pith("compress", ...models(), "--data", at("points.csv"), "-o", at("none"))).toMatchObject({
    code: 2,
    err: expect.stringContaining("A search is for one model"),
  });
  expect(existsSync(at("twice")) || existsSync(at("none"))).toBe(false);
});

test.each([
  ["a file elsewhere", () => at("elsewhere.csv"), 1],
  ["a file above the folder", (out: string) => join(out, "..", "above.csv"), 1],
  ["a file behind a link", (out: string) => join(out, "link", "linked.csv"), 1],
  ["the folder itself", (out: string) => out, 1],
  ["a file of one of two models", (out: string) => join(out, "dense", "run.csv"), 2],
])("rejects a recipe that writes %s before any run", async (_, fileIn, count) => {
  const out = at(`written-${count}`);
  mkdirSync(out, { recursive: true });
  if (!existsSync(join(out, "link"))) symlinkSync(at("."), join(out, "link"));
  const file = fileIn(out);
  const recipe = at("writing.yaml");
  writeFileSync(recipe, `steps:\n  - train: { epochs: 1, log: ${file} }\n`);
  const words = ["--data", at("points.csv"), "-r", recipe, "--force", "--jobs", "2", "-o", out];
  const { code, err } = await pith("compress", ...models().slice(0, count), ...words);
  const rejected = expect.stringContaining(`${recipe}: train: "${file}" is outside of`);
  expect({ code, err }).toMatchObject({ code: 2, err: rejected });
  expect(existsSync(at("elsewhere.csv"))).toBe(false);
});

test("a recipe can write into the folder of results", async () => {
  const out = at("logged");
  writeFileSync(at("logging.yaml"), `steps:\n  - train: { epochs: 1, log: ${join(out, "logs.csv")} }\n`);
  const words = ["--data", at("points.csv"), "-r", at("logging.yaml"), "--force", "-o", out];
  const { code, err } = await pith("compress", ...models().slice(0, 1), ...words);
  expect(code, err).toBe(0);
  expect(readFileSync(join(out, "logs.csv"), "utf8")).toMatch(/^step,epoch,loss/);
});

test("rejects --modules without a recipe", async () => {
  const { err } = await pith("compress", ...models().slice(0, 1), "--data", at("points.csv"), "--modules", "a.mjs");
  expect(err).toMatch(/^E_USAGE: --modules is for -r/);
});
