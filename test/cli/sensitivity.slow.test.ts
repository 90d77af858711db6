/** Tests `pith sensitivity` with several processes and stored measurements. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseRecipe, type Sensitivity } from "pith/compress";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { filesIn } from "./compressing.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  const dense = hidden.replaceAll(/\b0([,\]])/g, "0.01$1");
  await save(parseModel(dense), at("dense.onnx"));
});

test("gives the same results for any --jobs, and reuses measurements", async () => {
  const words = (out: string, ...more: readonly string[]): string[] => [
    ...["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "--kinds", "prune,bits", "-o", at(out), ...more],
  ];
  const [serialRun, parallelRun] = [await pith(...words("one")), await pith(...words("two", "--jobs", "2"))];
  expect(serialRun.code, serialRun.err).toBe(0);
  expect(parallelRun.code, parallelRun.err).toBe(0);
  const readFindings = (out: string) => {
    const { seconds: _, written: __, ...rest } = JSON.parse(readFileSync(join(at(out), "sensitivity.json"), "utf8"));
    return rest;
  };
  expect(readFindings("two")).toEqual(readFindings("one"));
  for (const name of ["prune.yaml", "bits.yaml"])
    expect(readFileSync(join(at("two"), name))).toEqual(readFileSync(join(at("one"), name)));
  const records = (out: string) => filesIn(join(at(out), "pith-steps"));
  expect(records("two")).toEqual(records("one"));
  const again = await pith(...words("two", "--minutes", "0.0001"));
  expect(again.code, again.err).toBe(0);
  expect(readFindings("two")).toEqual(readFindings("one"));
});

test("writes recipes for a budget of multiply-accumulates, and warns if it is out of reach", async () => {
  const out = at("macs");
  const words = ["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "-o", out, "--kinds", "channels,bits"];
  const { code, err } = await pith(...words, "--cost", "macs", "--budget", "1%");
  expect(code, err).toBe(0);
  // Fewer bits do not reduce the number of operations.
  expect(filesIn(out)).toEqual(["channels.yaml", "sensitivity.html", "sensitivity.json"]);
  const [, remainingPercent] =
    /leave (\d+) % of the multiply-accumulates/.exec(readFileSync(join(out, "channels.yaml"), "utf8")) ?? [];
  expect(err).toContain(
    `channels.yaml leaves ${remainingPercent} % of the multiply-accumulates, more than the 1 % of --budget: harsher settings were not measured`,
  );
});

test("prints a table, and writes page, data and recipes that run", async () => {
  const out = at("swept");
  const words = ["sensitivity", at("dense.onnx"), "--data", at("points.csv"), "-o", out];
  const { code, out: text, err } = await pith(...words, "--kinds", "prune,bits", "--budget", "85%");
  expect(code, err).toBe(0);
  expect(text).toMatch(
    /^accuracy of the original +100\.0 % +95 % interval [\d.]+ % … [\d.]+ %\n− is a loss: .*\nindividual weights set to zero: change of accuracy in points if only this layer changes, worst layer first\nlayer +20 % +40 % +60 % +80 %\nfc\d +[+−\d]/,
  );
  expect(text).toContain("fewer bits");
  expect(text).toMatch(/\nnext: pith compress .*bits\.yaml\n$/);
  expect(filesIn(out)).toEqual(["bits.yaml", "prune.yaml", "sensitivity.html", "sensitivity.json"]);
  const read = (name: string): string => readFileSync(join(out, name), "utf8");
  const { rows, model } = JSON.parse(read("sensitivity.json")) as Sensitivity;
  expect(model).toBe("dense.onnx");
  expect(new Set(rows.map(({ layers }) => layers[0]))).toEqual(new Set(["fc1", "fc2"]));
  // Without three of its four weights, the layer predicts other classes.
  expect(Math.max(...rows.map(({ drop }) => drop.value))).toBeGreaterThan(0.2);
  const page = read("sensitivity.html");
  expect(page).toContain("<h2>individual weights set to zero</h2>");
  expect(page).toMatch(/<title>fc1, 80 %: [\d.−]+<\/title>/);
  expect(page).not.toMatch(/<script|https?:|NaN/);
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
  expect(report.files).toEqual(["sensitivity.json", "sensitivity.html", "prune.yaml"].map((name) => join(out, name)));
  writeFileSync(join(out, "prune.yaml"), "steps: [{ prune: { amount: 10% } }]\n");
  const { err } = await pith(...words);
  expect(err).toContain("prune.yaml stays as it is");
  expect(err).toContain(`in ${join(out, "pith-steps")}; --fresh starts again`);
});
