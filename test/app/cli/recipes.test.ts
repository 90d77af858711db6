/** Tests `pith compress -r` on several models, each with a folder of results. */
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { recipeModels } from "./recipe-models.ts";
import { pith } from "./run.ts";

const { at, models, running } = recipeModels();

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
