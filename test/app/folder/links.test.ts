/** Results are published, so files outside of a model's folder are not copied through links. */
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { copySidecars } from "../../../src/app/folder/originals.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { listMissingSidecars, outerLinksAmong } from "../../../src/data/sidecars/sidecars.ts";
import { temporaryFolder } from "../../temporary.ts";

const network = parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  y = MatMul "a" (x, a.weight)
}`);

const make: FolderOptions["make"] = async ({ source, out, fileBytes }) => {
  await save(await open(source), out, { fileBytes });
  return { bytes: 1, measured: "" };
};

let root = "";
const at = (...names: readonly string[]): string => join(root, ...names);
/** Writes a file elsewhere, and a link to it in the model's folder. */
function link(name: string, target: string, content = '{"private": true}'): void {
  const path = at("model", name);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, content);
  symlinkSync(relative(dirname(path), target), path);
}

async function quantized(): Promise<string[]> {
  const messages: string[] = [];
  const log = ({ id, text }: { readonly id: string; readonly text: string }) => void messages.push(`${id}: ${text}`);
  await quantizeFolder(at("model"), { dtypes: ["q4"], out: at("out"), make }, { log });
  return messages;
}

beforeEach(async () => {
  root = temporaryFolder();
  mkdirSync(at("model", "onnx"), { recursive: true });
  await save(network, at("model", "onnx", "model.onnx"));
});

describe("links that lead out of a model's folder", () => {
  const names = ["LICENSE", "tokenizer.json", "config.json", "README.md"];

  test("are named and not copied by quantize", async () => {
    for (const name of names) link(name, at("private", name));
    const messages = await quantized();
    expect(messages).toContainEqual(
      `links: not copied, because these links lead out of "${at("model")}": LICENSE, README.md, config.json and tokenizer.json`,
    );
    for (const name of ["LICENSE", "tokenizer.json"]) expect(existsSync(at("out", name)), name).toBe(false);
    for (const name of ["config.json", "README.md"])
      if (existsSync(at("out", name))) expect(readFileSync(at("out", name), "utf8")).not.toContain("private");
  });

  test("are named and not copied next to a result", async () => {
    for (const name of names) link(name, at("private", name));
    mkdirSync(at("out", "onnx"), { recursive: true });
    await save(network, at("out", "onnx", "model.onnx"));
    const messages: string[] = [];
    await copySidecars(at("model"), at("out"), "onnx/model.onnx", { log: ({ text }) => void messages.push(text) });
    expect(messages.join()).toContain("LICENSE, README.md, config.json and tokenizer.json");
    for (const name of names) expect(existsSync(at("out", name)), name).toBe(false);
  });

  test("are not among the files that a model requires", async () => {
    for (const name of names) link(name, at("private", name));
    const missing = await listMissingSidecars(at("model", "onnx", "model.onnx"), at("out"));
    const links = await outerLinksAmong(missing);
    expect(links.map(([name]) => name)).toEqual(["config.json", "tokenizer.json"]);
  });

  test("are rejected for a model that would be copied", async () => {
    const bytes = readFileSync(at("model", "onnx", "model.onnx"));
    link("onnx/other.onnx", at("private", "other.onnx"));
    writeFileSync(at("private", "other.onnx"), bytes);
    await expect(quantized()).rejects.toMatchObject({
      code: "E_FILE",
      message: `"${at("model", "onnx", "other.onnx")}" is a link that leads out of "${at("model")}".`,
    });
    expect(existsSync(at("out", "onnx", "other.onnx"))).toBe(false);
  });
});

test("links inside a model's folder, and into the cache of a hub, are followed", async () => {
  const blob = (digit: string): string => at("hub", "models--org--name", "blobs", digit.repeat(40));
  link("LICENSE", blob("a"), "by the author");
  link("config.json", blob("b"), '{"model_type": "bert"}');
  writeFileSync(at("model", "terms"), "terms");
  symlinkSync("terms", at("model", "NOTICE"));
  const messages = await quantized();
  expect(messages.join("\n")).not.toContain("links:");
  expect(readFileSync(at("out", "LICENSE"), "utf8")).toBe("by the author");
  expect(lstatSync(at("out", "LICENSE")).isSymbolicLink()).toBe(false);
  expect(readFileSync(at("out", "NOTICE"), "utf8")).toBe("terms");
  expect(readFileSync(at("out", "config.json"), "utf8")).toContain("bert");
});
