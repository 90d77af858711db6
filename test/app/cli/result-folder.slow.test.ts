/** Tests reports of runs, simultaneous runs, and a rejected run in the folder of an earlier one. */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { escapeMarkdown } from "../../../src/app/report/markdown-text.ts";
import { processSuffix } from "../../../src/core/platform/node-leftovers.ts";
import type { Run } from "../../../src/judge/record/run-record.ts";
import { compressing, filesIn, reports, results, textOf } from "./compressing.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

const { recipe, compress, reject, folder } = compressing(at);

test("rejects the second of two simultaneous runs in one folder", async () => {
  const out = folder();
  const runs = await Promise.all([compress(out, 0.5), compress(out, 0.5)]);
  expect(runs.map(({ code }) => code).toSorted()).toEqual([0, 1]);
  expect(runs.find(({ code }) => code === 1)?.err).toContain(
    `E_FILE: Another run is writing into "${out}".\nhint: Wait until it has ended, or name another folder with -o.\n`,
  );
  expect(filesIn(out)).toEqual(results.toSorted());
  // The first run has finished, so the folder is free.
  expect(await compress(out, 0.25)).toMatchObject({ code: 0 });
});

test("prints the share of zeros in the tables if a step changes it", async () => {
  const out = folder();
  expect((await compress(out, 0.5)).out).toMatch(/ brotli +MACs +zeros .*\n.* 50\.0 % .*\n.* 66\.7 % /);
  const { original, variants } = JSON.parse(textOf(join(out, "run.json"))) as Run;
  expect([original.zeros, variants[0]?.result?.zeros]).toEqual([3 / 6, 4 / 6]);
  expect(textOf(join(out, "report.html"))).toMatch(/>zeros<.*>50\.0 %<.*>66\.7 %</s);
});

test("counts several unchanged layers in the plural", async () => {
  writeFileSync(recipe, "steps:\n  - quantize: { scheme: weights }\n  - quantize: { scheme: weights }\n");
  const words = ["--data", at("points.csv"), "-r", recipe, "--force", "-o", folder()];
  const { out: text } = await pith("compress", at("hidden.onnx"), ...words);
  expect(text).toMatch(/: unchanged \(\d+\): /);
});

test("names unchanged layers with the reason, and keeps --target in the next command", async () => {
  // WebAssembly runs in Node.
  vi.stubEnv("CHROME_PATH", at("no-browser"));
  const out = folder();
  writeFileSync(recipe, "steps:\n  - factorize: { rank: 1, overrides: { fc2: { rank: 2 } } }\n");
  const [model, result] = [at("hidden.onnx"), join(out, "model.onnx")];
  const words = ["--data", at("points.csv"), "-r", recipe, "--force", "--target", "wasm", "-o", out];
  const { out: text } = await pith("compress", model, ...words);
  vi.unstubAllEnvs();
  expect(text).toContain(
    "\nfactorize: unchanged (1): fc2 (rank 2 does not make the layer smaller, ranks up to 1 do)\n",
  );
  expect(text).toContain(`\nnext: pith bench ${model} ${result} --target wasm\n`);
  expect(textOf(join(out, "report.html"))).toContain(
    `pith bench ${model} ${result} --target wasm\nnpx --no-install pith eval ${result} --original ${model} --data other-samples/ --target wasm`,
  );
});

describe("a rejected run", () => {
  test("keeps an earlier result with its reports, and writes its own to a subfolder", async () => {
    const out = folder();
    await compress(out);
    const before = results.map((name) => readFileSync(join(out, name)));
    const { code, err } = await reject(out);
    expect(code).toBe(1);
    expect(err).toContain(`No model was written; ${join(out, "rejected", "report.html")} shows what was tried.\n`);
    expect(filesIn(out)).toEqual([...results, "rejected"].toSorted());
    expect(results.map((name) => readFileSync(join(out, name)))).toEqual(before);
    expect(filesIn(join(out, "rejected"))).toEqual(reports);
  });

  test("loses its reports to a later result, except files that an author added", async () => {
    const [out, other] = [folder(), folder()];
    for (const place of [out, other]) {
      await compress(place);
      await reject(place);
    }
    writeFileSync(join(other, "rejected", "notes.txt"), "Why?");
    for (const place of [out, other]) await compress(place);
    expect(filesIn(out)).toEqual(results.toSorted());
    expect(filesIn(join(other, "rejected"))).toEqual(["notes.txt"]);
  });
});

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
