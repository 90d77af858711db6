/** Tests the files of `pith sensitivity`, and stored measurements. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseRecipe, type Sensitivity } from "pith/compress";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { filesIn } from "./compressing.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  const dense = hidden.replaceAll(/\b0([,\]])/g, "0.01$1");
  await save(parseModel(dense), at("dense.onnx"));
});

test("reuses measurements", async () => {
  const words = (out: string, ...more: readonly string[]): string[] => [
    ...["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "--kinds", "prune,bits", "-o", at(out), ...more],
  ];
  const { code, err } = await pith(...words("one"));
  expect(code, err).toBe(0);
  const readFindings = (out: string) => {
    const { seconds: _, written: __, ...rest } = JSON.parse(readFileSync(join(at(out), "sensitivity.json"), "utf8"));
    return rest;
  };
  const first = readFindings("one");
  const again = await pith(...words("one", "--minutes", "0.0001"));
  expect(again.code, again.err).toBe(0);
  expect(readFindings("one")).toEqual(first);
});

test("writes recipes for a budget of multiply-accumulates, and warns if it is out of reach", async () => {
  const out = at("macs");
  const words = ["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "-o", out, "--kinds", "channels,bits"];
  const { code, err } = await pith(...words, "--cost", "macs", "--budget", "1%");
  expect(code, err).toBe(0);
  // Fewer bits do not reduce the number of operations.
  expect(filesIn(out)).toEqual(["channels.yaml", "sensitivity.json"]);
  const [, remainingPercent] =
    /leave (\d+) % of the multiply-accumulates/.exec(readFileSync(join(out, "channels.yaml"), "utf8")) ?? [];
  expect(err).toContain(
    `channels.yaml leaves ${remainingPercent} % of the multiply-accumulates, more than the 1 % of --budget: harsher settings were not measured`,
  );
});

test("prints a table, and writes data and recipes that run", async () => {
  const out = at("swept");
  const words = ["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "-o", out];
  const { code, out: text, err } = await pith(...words, "--kinds", "prune,bits", "--budget", "85%");
  expect(code, err).toBe(0);
  expect(text).toMatch(
    /^accuracy of the original +100\.0 % +95 % interval [\d.]+ % … [\d.]+ %, \d+ samples; changes: on up to \d+\n− is a loss: .*\nindividual weights set to zero: change of accuracy in points if only this layer changes, worst layer first\nlayer +20 % zeros +40 % zeros +60 % zeros +80 % zeros\nfc\d +[+−\d]/,
  );
  expect(text).toContain("fewer bits");
  expect(text).toMatch(/\nnext: pith compress .*bits\.yaml\n$/);
  expect(filesIn(out)).toEqual(["bits.yaml", "prune.yaml", "sensitivity.json"]);
  const read = (name: string): string => readFileSync(join(out, name), "utf8");
  const { rows, model } = JSON.parse(read("sensitivity.json")) as Sensitivity;
  expect(model).toBe("dense.onnx");
  expect(new Set(rows.map(({ layers }) => layers[0]))).toEqual(new Set(["fc1", "fc2"]));
  // Without three of its four weights, the layer predicts other classes.
  expect(Math.max(...rows.map(({ drop }) => drop.value))).toBeGreaterThan(0.2);
  const [step] = parseRecipe(read("bits.yaml")).steps;
  expect(step).toMatchObject({ id: "quantize", options: { scheme: "weights" } });
  const compressRun = await pith(
    "compress",
    at("dense.onnx"),
    "--data",
    at("points.csv"),
    "-r",
    join(out, "prune.yaml"),
    "--force",
    "-o",
    at("made"),
  );
  expect(compressRun.code, compressRun.err).toBe(0);
});

test("prints the data with --json, and keeps files that an author changed", async () => {
  const out = at("again");
  const words = [
    "sensitivity",
    at("dense.onnx"),
    "--data",
    at("points.csv"),
    "--kinds",
    "prune",
    "--layers",
    "fc1",
    "--budget",
    "92%",
    "-o",
    out,
  ];
  const report = await json(...words);
  expect(report).toMatchObject({ code: 0, model: "dense.onnx", open: 0, seed: 0, data: { name: at("points.csv") } });
  expect(report.files).toEqual(["sensitivity.json", "prune.yaml"].map((name) => join(out, name)));
  writeFileSync(join(out, "prune.yaml"), "steps: [{ prune: { amount: 10% } }]\n");
  const { err } = await pith(...words);
  expect(err).toContain("prune.yaml stays as it is");
  expect(err).toContain(`are kept in ${join(out, "pith-steps")}: the same command reuses them`);
});
