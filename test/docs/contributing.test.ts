/** The pages for contributors: the code that they quote is in its file, and the modules that they show do what the page says. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { compiled, json } from "../app/cli/run.ts";
import { smallModels } from "../app/cli/small-models.ts";
import { codeBlocks } from "./markdown.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "docs/contributing");
const pages = await Promise.all(
  (await readdir(folder)).map(async (name) => ({ name, text: readFileSync(join(folder, name), "utf8") })),
);

/** Code blocks whose first line names a file, as `// wanda.mjs`. */
const namedBlocks = pages.flatMap(({ name, text }) =>
  codeBlocks(text).flatMap((block) => {
    const [, file] = /^\/\/ ([\w./-]+)\n/.exec(block.text) ?? [];
    return file === undefined ? [] : [{ name, file, code: block.text.slice(block.text.indexOf("\n") + 1) }];
  }),
);
const quotes = namedBlocks.filter(({ file }) => file.includes("/"));
const modules = namedBlocks.filter(({ file }) => !file.includes("/") && file !== "loop.mjs");
const loop = namedBlocks.find(({ file }) => file === "loop.mjs");

test.each(quotes)("$name quotes $file exactly", ({ file, code }) => {
  expect(readFileSync(join(root, file), "utf8").includes(code), `${file} does not contain:\n${code}`).toBe(true);
});

const fileNames = new Set([
  ...readdirSync(root),
  ...["src", "test", "bench", "scripts"].flatMap((name) =>
    readdirSync(join(root, name), { recursive: true, encoding: "utf8" }).map((path) => basename(path)),
  ),
]);
const guides = ["CONTRIBUTING.md", "docs/architecture.md"].map((name) => ({
  name,
  text: readFileSync(join(root, name), "utf8"),
}));

test.each([...guides, ...pages])("$name names only existing files", ({ text }) => {
  const paths = [...text.matchAll(/`((?:src|test|bench|scripts)\/[\w./-]*)`/g)].map(([, path = ""]) => path);
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  const names = [...text.matchAll(/`(?:[\w-]+\/)*([\w-][\w.-]*\.ts)`/g)].map(([, name = ""]) => name);
  expect(names.filter((name) => !fileNames.has(name))).toEqual([]);
});

test.each(pages)("$name has at most 80 lines", ({ text }) => {
  expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(80);
});

describe("modules run as a page states", () => {
  const { at } = smallModels();
  const half = ["prune", at("mixed.onnx"), "--amount", "50%"];
  const commands: Readonly<Record<string, readonly (readonly string[])[]>> = {
    "near-mean.mjs": [[...half, "--importance"]],
    "largest-weight.mjs": [["prune", at("hidden.onnx"), "--structured", "50%", "--importance"]],
    "scaled.mjs": [[...half, "--data", at("points.csv"), "--importance"]],
    "comb.mjs": [["prune", at("mixed.onnx"), "--pattern"]],
    "deeper.mjs": [
      [...half, "--scope"],
      ["prune", at("hidden.onnx"), "--structured", "50%", "--scope"],
    ],
    "stochastic.mjs": [
      [...half, "--solver"],
      ["quantize", at("mixed.onnx"), "--scheme", "weights", "--rounder"],
    ],
    "rows.mjs": [["eval", at("mixed.onnx"), "--data"]],
  };

  // As after `npm install pith`; the tests themselves run on sources.
  beforeAll(() => {
    mkdirSync(at("node_modules/pith"), { recursive: true });
    const manifest = readFileSync(join(root, "package.json"), "utf8").replaceAll('"pith-source"', '"left-out"');
    writeFileSync(at("node_modules/pith/package.json"), manifest);
    symlinkSync(compiled("."), at("node_modules/pith/dist"), "junction");
  });

  test("a training loop lowers its loss, and saves a model that the commands open", async () => {
    writeFileSync(at("loop.mjs"), loop?.code ?? expect.fail("no page shows loop.mjs"));
    const words = [at("loop.mjs"), at("hidden.onnx"), at("points.csv"), at("looped.onnx")];
    const { stdout } = await promisify(execFile)(process.execPath, words);
    const losses = [...stdout.matchAll(/loss (.*)/g)].map(([, loss]) => Number(loss));
    expect(losses).toHaveLength(3);
    expect(losses[2]).toBeLessThan(losses[0] ?? 0);
    expect((await json("eval", at("looped.onnx"), "--data", at("points.csv"))).code).toBe(0);
  });

  test.each(modules)("$name: $file", async ({ file, code }) => {
    writeFileSync(at(file), code);
    for (const [command = "", ...words] of commands[file] ?? expect.fail(`no command runs ${file}`)) {
      const out = command === "eval" ? [] : ["--force", "-o", at("out.onnx")];
      expect((await json(command, ...words, at(file), ...out)).code).toBe(0);
    }
  });
});
