import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { runFolder, writeResults } from "../../src/app/cli/files/result-folder.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { outliers } from "../outliers.ts";
import { results } from "./compressing.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
const searching = (out: string, ...more: readonly string[]) =>
  pith("compress", at("outliers.onnx"), "--data", at("points.csv"), ...more, "-o", out);

beforeAll(async () => {
  await save(parseModel(outliers), at("outliers.onnx"));
});

test("writes the best candidate with a recipe that gives the same file", async () => {
  const [out, again] = [at("searched"), at("again")];
  const { code, out: text, err } = await searching(out, "--steps", "8", "--for", "size", "--max-drop", "2%");
  expect(code, err).toBe(0);
  expect(err).toMatch(/^best so far: /m);
  expect(text).toMatch(
    /^kept: .*, the smallest of 8 candidates that is within the goal\. .*\nAccuracy went from .*\. (Measured change: .* \(goal: at least −2\.0\), .*|The result is identical to the original: .*)\nnext: pith bench .*\n$/m,
  );
  expect(text).toMatch(/tested on: .*points\.csv \(test, (\d+); \1 others compared the candidates\)$/m);
  for (const name of results) expect(readFileSync(join(out, name)).length).toBeGreaterThan(0);
  const run = JSON.parse(readFileSync(join(out, "run.json"), "utf8"));
  expect(run.search.points).toHaveLength(8);
  const recipe = join(out, "recipe.yaml");
  const repeated = await pith(
    "compress",
    at("outliers.onnx"),
    "--data",
    at("points.csv"),
    "-r",
    recipe,
    "--force",
    "-o",
    again,
  );
  expect(repeated.code, repeated.err).toBe(0);
  expect(readFileSync(join(again, "model.onnx"))).toEqual(readFileSync(join(out, "model.onnx")));
});

test.each([
  [["-r", "steps.yaml", "--minutes", "1"], /A recipe already lists the steps/],
  [["--target-size", "2kB", "--faster", "2"], /cannot be combined/],
  [["--for", "speed", "--faster", "2"], /--faster and --for cannot be combined/],
  [["--minutes", "1", "--steps", "2"], /--minutes and --steps cannot be combined/],
  [["--minutes", "0"], /must be above 0/],
  [["--minutes", "43201"], /--minutes: must be at most 43200 \(30 days\), got 43201/],
  [["--for", "fun"], /"size", "speed" or "download"/],
])("rejects %j", async (words, message) => {
  expect(await searching(at("none"), ...words)).toMatchObject({ code: 2, err: expect.stringMatching(message) });
});

test("rejects an unknown technique", async () => {
  expect(await searching(at("none"), "--techniques", "magic")).toMatchObject({
    code: 2,
    err: expect.stringMatching(/E_OPTION: --techniques: unknown technique: expected .*quantize.*, got "magic"\./),
  });
});

test("removes front files of an earlier run, except those that were changed since", async () => {
  const out = at("fronts");
  const context = { log: () => {}, writes: () => {} };
  const files = (names: readonly string[]) => names.map((name) => [name, Buffer.from(name)] as const);
  const frontNames = ["front-1.onnx", "front-1.yaml", "front-2.onnx"];
  await writeResults(out, { run: 1 }, files(["model.onnx", ...frontNames]), context, runFolder);
  appendFileSync(join(out, "front-2.onnx"), "by the author");
  await writeResults(out, { run: 2 }, files(["model.onnx", "front-1.onnx"]), context, runFolder);
  expect(readdirSync(out).toSorted()).toEqual(["front-1.onnx", "front-2.onnx", "model.onnx", "run.json"]);
});
