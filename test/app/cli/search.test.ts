import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runContents, writeResults } from "../../../src/app/cli/files/result-folder.ts";
import { filesIn, results, textOf } from "./compressing.ts";
import { preparedSearch } from "./searching.ts";

const { at, searching } = preparedSearch();

test("writes the better of two candidates, with reports and its recipe", async () => {
  const out = at("searched");
  const { code, err } = await searching(out, "--steps", "2", "--for", "size", "--max-drop", "60%");
  expect(code, err).toBe(0);
  expect(filesIn(out)).toEqual(results.toSorted());
  expect(JSON.parse(textOf(join(out, "run.json"))).search.points).toHaveLength(2);
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
  await writeResults(out, { run: 1 }, files(["model.onnx", ...frontNames]), context, runContents);
  appendFileSync(join(out, "front-2.onnx"), "by the author");
  await writeResults(out, { run: 2 }, files(["model.onnx", "front-1.onnx"]), context, runContents);
  expect(readdirSync(out).toSorted()).toEqual(["front-1.onnx", "front-2.onnx", "model.onnx", "run.json"]);
});
