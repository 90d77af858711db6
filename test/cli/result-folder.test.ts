/** Tests that `pith compress` overwrites no files of an author. */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { escapeMarkdown } from "../../src/app/report/markdown-text.ts";
import { processSuffix } from "../../src/core/platform/node-leftovers.ts";
import type { Run } from "../../src/judge/record/data.ts";
import { compressing, filesIn, reports, results, textOf } from "./compressing.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

const { compress, reject, folder } = compressing(at);

test("replaces results of Pith, also those of a killed run", async () => {
  const out = folder();
  const written = `written: ${results.map((name) => join(out, name)).join("  ")}`;
  expect(await compress(out)).toMatchObject({ code: 0, out: expect.stringContaining(`${written}\n`) });
  const first = readFileSync(join(out, "model.onnx"));
  for (let time = 0; time < 2; time++) {
    const { out: text, err } = await compress(out, 0.5);
    expect(text).toContain(`${written} (replaced)\n`);
    expect(err).not.toContain("stays as it is");
    expect(filesIn(out)).toEqual(results.toSorted());
    expect(readFileSync(join(out, "model.onnx"))).not.toEqual(first);
    // Simulates a run that was killed after it wrote run.json and before it wrote the model.
    writeFileSync(join(out, "model.onnx"), first);
  }
});

test("a killed run does not lock the folder", async () => {
  const out = folder();
  const steps = join(out, "pith-steps");
  mkdirSync(steps, { recursive: true });
  const { pid = 0 } = spawnSync(process.execPath, ["--version"]);
  const claimed = processSuffix().replace(/-\d+\./, `-${pid}.`);
  writeFileSync(join(steps, `.run.claim.${claimed}.tmp`), "");
  expect(await compress(out)).toMatchObject({ code: 0 });
  expect(filesIn(out)).toEqual(results.toSorted());
});

/** Files that every result requires. */
const needed = ["model.onnx", "run.json"];

describe.each(results)("%s", (name) => {
  test.each(["changed since", "of somebody else"])("is kept if it is %s", async (which) => {
    const out = folder();
    if (which === "changed since") await compress(out);
    else mkdirSync(out);
    if (which === "changed since" && name === "run.json")
      writeFileSync(join(out, name), textOf(join(out, name)).replace('"format": 1', '"format": 1, "note": "mine"'));
    else appendFileSync(join(out, name), "\n# by the author\n");
    const before = textOf(join(out, name));
    const there = readdirSync(out);
    for (let time = 0; time < 2; time++) {
      const { code, out: text, err } = await compress(out);
      expect(textOf(join(out, name))).toBe(before);
      if (needed.includes(name)) {
        expect({ code, err }).toEqual({
          code: 2,
          err: expect.stringContaining(`E_OPTION: "${join(out, name)}" was not written by Pith, or was changed since`),
        });
        expect(readdirSync(out)).toEqual(there);
      } else {
        expect({ code, err }).toEqual({
          code: 0,
          err: expect.stringContaining(`kept: ${join(out, name)} stays as it is`),
        });
        expect(text).not.toMatch(new RegExp(`^written: .*${join(out, name)}`, "m"));
        expect(existsSync(join(out, "model.onnx"))).toBe(true);
      }
    }
  });
});

describe("a rejected run", () => {
  test("writes reports with the reason and no model, which the next result replaces", async () => {
    const out = folder();
    const { code, err } = await reject(out);
    expect(code).toBe(1);
    expect(err).toContain(`No model was written; ${join(out, "report.html")} shows what was tried.\n`);
    expect(filesIn(out)).toEqual(reports);
    const run: Run = JSON.parse(textOf(join(out, "run.json")));
    expect(run.rejected).toMatchObject({ code: expect.stringMatching(/^E_/), message: expect.any(String) });
    expect(run).toMatchObject({ examined: 0, noise: { layers: expect.any(Array) } });
    expect(run.chosen).toBeUndefined();
    for (const name of ["report.html", "report.md"])
      expect(textOf(join(out, name))).toContain("The result was rejected.");
    expect(textOf(join(out, "report.html"))).toContain('<span class="badge bad">rejected</span>');
    expect(textOf(join(out, "report.md"))).toContain(escapeMarkdown(run.rejected?.message ?? "?"));
    expect(await compress(out)).toMatchObject({ code: 0 });
    expect(filesIn(out)).toEqual(results.toSorted());
    expect(textOf(join(out, "report.html"))).not.toContain("The result was rejected");
  });
});

test("an edited recipe in the folder of its results can run, and is kept", async () => {
  const out = folder();
  await compress(out);
  const edited = `${textOf(join(out, "recipe.yaml"))}# half as much\n`;
  writeFileSync(join(out, "recipe.yaml"), edited);
  const words = ["compress", at("mixed.onnx"), "--data", at("points.csv"), "-r", join(out, "recipe.yaml"), "--force"];
  expect(await pith(...words, "-o", out)).toMatchObject({ code: 0, err: expect.stringContaining("recipe.yaml stays") });
  expect(textOf(join(out, "recipe.yaml"))).toBe(edited);
});

describe("the page", () => {
  test("of plot is replaced if Pith wrote it or -o names it", async () => {
    const page = at("mixed.html");
    expect((await pith("plot", at("mixed.onnx"))).out).toMatch(/mixed\.html \(.* kB\)\n$/);
    expect((await pith("plot", at("mixed.onnx"))).out).toMatch(/mixed\.html \(.* kB\) \(replaced\)\n$/);
    writeFileSync(page, "<!doctype html><p>by the author</p>");
    const { code, err } = await pith("plot", at("mixed.onnx"));
    expect({ code, err }).toEqual({
      code: 2,
      err: `E_OPTION: "${page}" exists, and was not written by Pith.\nhint: Choose another file with -o.\n`,
    });
    expect(textOf(page)).toContain("by the author");
    expect((await pith("plot", at("mixed.onnx"), "-o", page)).out).toMatch(/ \(replaced\)\n$/);
  });

  test("of debug is printed as replaced", async () => {
    const words = ["debug", at("right.onnx"), at("near.onnx"), "-o", at("debug.html")];
    expect((await pith(...words)).out).toMatch(/debug\.html\n$/);
    expect((await pith(...words)).out).toMatch(/debug\.html \(replaced\)\n$/);
  });

  test("of a folder is written next to the folder", async () => {
    const model = at("small");
    mkdirSync(join(model, "onnx"), { recursive: true });
    writeFileSync(join(model, "onnx", "model.onnx"), readFileSync(at("mixed.onnx")));
    const { out } = await pith("plot", `${model}/`);
    expect(out).toContain(`written: ${model}.html`);
    expect(readdirSync(join(model, "onnx"))).toEqual(["model.onnx"]);
  });
});
