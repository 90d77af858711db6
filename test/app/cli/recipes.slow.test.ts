/** `pith compress -r` on several models writes the same files for any `--jobs`. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesIn } from "./compressing.ts";
import { recipeModels } from "./recipe-models.ts";
import { json, pith } from "./run.ts";

const { at, models, running } = recipeModels();

/** Reads the fields of `run.json` that depend neither on time nor on paths. A larger file is rejected unless it is faster, which is measured. */
function lasting(out: string): unknown {
  const passed = (name: string, value: unknown): unknown => {
    if (name === "warnings" && Array.isArray(value)) return value.filter((text) => !/too busy to measure/.test(text));
    return ["date", "seconds", "command", "paths", "latency", "written", "rejected", "rejectedAs"].includes(name)
      ? undefined
      : value;
  };
  return JSON.parse(readFileSync(join(out, "run.json"), "utf8"), passed);
}

test("gives each model the result of a single run, for any number of jobs", async () => {
  const serialRun = await pith(...running(models(), "--force", "-o", at("one")));
  expect(serialRun.code, serialRun.err).toBe(0);
  const parallelRun = await pith(...running(models(), "--force", "--jobs", "2", "-o", at("two")));
  expect(parallelRun.code, parallelRun.err).toBe(0);
  // The processes completed all steps of both models.
  expect(parallelRun.err.match(/continued after train/g)).toHaveLength(2);
  const same = (out: string, expected: string): void => {
    expect(filesIn(out)).toEqual(filesIn(expected));
    for (const file of ["model.onnx", "recipe.yaml"])
      expect(readFileSync(join(out, file))).toEqual(readFileSync(join(expected, file)));
    expect(lasting(out)).toEqual(lasting(expected));
  };
  for (const name of ["dense", "faint"]) {
    same(at(`two/${name}`), at(`one/${name}`));
    expect(serialRun.out).toContain(`${at(`${name}.onnx`)}\n`);
  }
  const alone = await pith(...running(models().slice(0, 1), "--force", "-o", at("alone")));
  expect(alone.code, alone.err).toBe(0);
  same(at("one/dense"), at("alone"));
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
