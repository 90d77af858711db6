/** Tests the results of steps that `pith compress` stores in its output folder for later runs. */
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withStepsFolder } from "../../../src/app/cli/files/steps-folder.ts";
import { Terminal } from "../../../src/app/cli/print/terminal.ts";
import { PithError } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { asFileError } from "../../../src/core/platform/node-file-errors.ts";
import { outliers } from "../../outliers.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
let folders = 0;

async function setup() {
  const [model, out] = [at(`model-${folders}.onnx`), at(`kept-${folders++}`)];
  await save(parseModel(outliers), model);
  const recipe = `${out}.yaml`;
  writeFileSync(recipe, "steps:\n  - prune: { amount: 20% }\n  - prune: { amount: 30% }\n");
  const steps = join(out, "pith-steps");
  const data = ["--data", at("points.csv"), "-o", out];
  return {
    model,
    out,
    steps,
    run: (...more: readonly string[]) => pith("compress", model, ...data, "-r", recipe, "--force", ...more),
    search: (...more: readonly string[]) => pith("compress", model, ...data, "--steps", "4", "--for", "size", ...more),
    /** Maps names to inode numbers, which change if a file is written again. */
    files: () => new Map(readdirSync(steps).map((name) => [name, statSync(join(steps, name)).ino] as const)),
  };
}

test("a run with another goal repeats no step, and each prints the stored bytes", async () => {
  const { run, files, steps } = await setup();
  const first = await run("--max-drop", "1%");
  expect(first).toMatchObject({ code: 0, err: expect.not.stringContaining("continued after") });
  const stepsLine = /^finished steps \((.*)\) are kept in (.*): the same command reuses them/m.exec(first.err);
  expect(stepsLine?.slice(1)).toEqual([expect.stringMatching(/^[\d.]+ .?B$/), steps]);
  const before = files();
  const second = await run("--max-drop", "50%");
  expect(second).toMatchObject({ code: 0, err: expect.stringContaining("continued after prune") });
  expect(files()).toEqual(before);
});

test("--fresh runs all steps again", async () => {
  const { run, files, steps } = await setup();
  await run();
  const names = [...files().keys()];
  writeFileSync(join(steps, `${"0".repeat(64)}.json`), "{}");
  const { code, err } = await run("--fresh");
  expect({ code, err }).toMatchObject({ code: 0, err: expect.not.stringContaining("continued after") });
  expect([...files().keys()].toSorted()).toEqual(names.toSorted());
});

test("--fresh removes only files of Pith", async () => {
  const { run, files, steps } = await setup();
  mkdirSync(steps, { recursive: true });
  for (const name of ["thesis.tex", "model.onnx"]) writeFileSync(join(steps, name), "mine");
  expect(await run("--fresh")).toMatchObject({ code: 0 });
  expect(await run("--fresh")).toMatchObject({ code: 0, err: expect.not.stringContaining("continued after") });
  expect([...files().keys()]).toEqual(expect.arrayContaining(["thesis.tex", "model.onnx"]));
});

test("rejects a steps folder that is a symbolic link", async () => {
  const { run, out, steps } = await setup();
  mkdirSync(out);
  symlinkSync(temporaryFolder(), steps);
  expect(await run("--fresh")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^E_FILE: ".*pith-steps" is a symbolic link/m),
  });
});

test("a changed model starts from scratch", async () => {
  const { model, run } = await setup();
  await run();
  await save(parseModel(outliers.replace("1000", "900")), model);
  expect(await run()).toMatchObject({ code: 0, err: expect.not.stringContaining("continued after") });
});

test("a search reuses the results of an earlier one", async () => {
  const { search, files } = await setup();
  const quick = ["--techniques", "quantize", "--force"];
  await search(...quick, "--max-drop", "2%");
  const before = files();
  expect([...before.keys()].filter((name) => name.endsWith(".onnx")).length).toBeGreaterThan(2);
  expect((await search(...quick, "--max-drop", "50%", "--jobs", "2")).err).toMatch(/^finished steps .* are kept in /m);
  const after = files();
  for (const [name, file] of before) expect(after.get(name), name).toBe(file);
});

test("wrong usage keeps stored steps, and is no reason to mention them", async () => {
  const { run, search, files } = await setup();
  await run();
  const before = files();
  const { code, err } = await search("--techniques", "magic");
  expect({ code, err }).toMatchObject({ code: 2, err: expect.not.stringContaining("Completed work") });
  expect(files()).toEqual(before);
});

test("rejects --fresh with --queue", async () => {
  const { search, out } = await setup();
  expect(await search("--fresh", "--queue", "redis://nowhere", "--store", at("store"))).toMatchObject({
    code: 2,
    err: expect.stringContaining("--fresh is for work without --queue"),
  });
  expect(existsSync(out)).toBe(false);
});

describe("an error after finished steps", () => {
  const stream = { write: () => {} };
  const terminal = new Terminal({ out: stream, err: stream, json: false, env: {}, versions: "" });
  const failed = async (error: PithError, names: readonly string[] = ["done.onnx"]) => {
    const out = join(temporaryFolder(), "out");
    const thrown = await withStepsFolder(out, { fresh: false, terminal }, async (folder) => {
      for (const name of names) writeFileSync(join(folder, name), "");
      throw error;
    }).catch((thrown: unknown) => thrown);
    return {
      thrown,
      kept: `Completed work is kept in ${join(out, "pith-steps")}: the same command continues from there.`,
    };
  };

  test.each(["ENOSPC", "EDQUOT"])("names the disk to free and the stored work: %s", async (code) => {
    const full = asFileError('"out/pith-steps/a.onnx" cannot be written', Object.assign(new Error(code), { code }));
    const { thrown, kept } = await failed(full);
    expect(thrown).toMatchObject({
      code: "E_FILE",
      message: full.message,
      hint: `Free space on the disk of this path, or write to another disk. ${kept}`,
    });
    expect((await failed(full, [])).thrown).toBe(full);
  });

  test("replaces the hint of a stopped step", async () => {
    const stopped = new PithError("E_STOPPED", "Stopped after 3 steps.", { hint: "Run it with `resume`." });
    const { thrown, kept } = await failed(stopped);
    expect(thrown).toMatchObject({ code: "E_STOPPED", hint: kept });
  });
});
