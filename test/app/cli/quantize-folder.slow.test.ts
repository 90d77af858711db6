/** Tests `pith compress` of a folder, and folders that transformers.js cannot run because files are missing. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { outliers } from "../../outliers.ts";
import { downloadFolder, expectIncomplete, given, images, modelFolder, program, texts } from "./model-folders.ts";
import { compiled, json, pith, run, runJob } from "./run.ts";

const { PithError }: typeof import("../../../src/core/errors.ts") = await import(
  pathToFileURL(compiled("core/errors.js")).href
);

const { root, folder } = modelFolder();

test("compress keeps the smallest valid file of each model, and names it in config.json", async () => {
  const out = join(root, "compressed");
  const { code, out: text, err } = await pith("compress", folder, "-o", out);
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("without --data there is no accuracy goal") });
  expect(text).toMatch(/^q8 +model_quantized .* passed over$/m);
  // Pith keeps the fastest of variants with similar sizes, which depends on the machine.
  const [, dtype] = /^(q4|q4f16) +model_\w+ .* ← kept$/m.exec(text) ?? [];
  expect(text.match(/← kept/g)).toHaveLength(1);
  expect(await readdir(join(out, "onnx"))).toEqual(["model.onnx", `model_${dtype}.onnx`, "relu.onnx"]);
  expect(JSON.parse(await readFile(join(out, "config.json"), "utf8"))).toMatchObject({
    "transformers.js_config": { dtype: { model: dtype, relu: "fp32" } },
  });
  expect(await readFile(join(out, "README.md"), "utf8")).toContain("of q8, int8, uint8, q4, q4f16, fp16: the smallest");
});

describe("a folder with missing files", () => {
  test.each([
    ["half", texts, ["config.json", "tokenizer.json"], "tokenizer_config.json is missing"],
    ["image", images, ["config.json"], "preprocessor_config.json is missing"],
    ["bare", texts, [], "config.json, tokenizer.json and tokenizer_config.json are missing"],
  ])("%s: is written with the names of the missing files and exit code 1", async (name, model, files, missing) => {
    await expectIncomplete(root, name, model, files, missing);
  });

  test("is accepted once the files exist in the output folder", async () => {
    const path = await given(root, "completed", images, "config.json");
    const words = ["quantize", path, "--dtype", "q4", "-o", `${path}.out`];
    expect(await json(...words)).toMatchObject({
      code: 1,
      files: [{ verdict: "unusable", loader: { outcome: "fails" } }],
    });
    await writeFile(join(`${path}.out`, "preprocessor_config.json"), "{}");
    expect(await json(...words)).toMatchObject({
      code: 0,
      files: [{ verdict: "there", loader: { outcome: "not tried" } }],
    });
    expect(await readFile(join(`${path}.out`, "README.md"), "utf8")).toContain(program);
    await rm(join(`${path}.out`, "preprocessor_config.json"));
    // --force skips the check, and the card contains no program.
    const forced = await pith(...words, "--force");
    expect(forced).toMatchObject({ code: 0, err: expect.stringContaining("preprocessor_config.json is missing") });
    expect(await readFile(join(`${path}.out`, "README.md"), "utf8")).not.toContain(program);
  });
});

describe("--target-download of a folder", () => {
  const { words, rows } = downloadFolder(root);

  test("chooses rdoq for the dtypes with 8 bits, as for a single file", async () => {
    const { files, code } = await json(...words("--data", rows, "--metric", "agreement", "--force"));
    expect({ code, files }).toMatchObject({ code: 0, files: [{ dtype: "q8" }, { dtype: "q4" }] });
    const [q8] = Array.isArray(files) ? files : [];
    expect(Number(Object(q8).brotli)).toBeLessThanOrEqual(3000);
  });
});

test("names the remaining files if a run is stopped", async () => {
  const out = join(root, "stopped");
  const stopsAtQ4: typeof runJob = (module, input, options) =>
    JSON.stringify(input).includes('"dtype":"q4"')
      ? Promise.reject(new PithError("E_STOPPED", "Stopped on request."))
      : runJob(module, input, options);
  const { code, err } = await run(["quantize", folder, "--dtype", "q8,q4", "-o", out], { runJob: stopsAtQ4 });
  expect(code).toBe(1);
  expect(err).toContain(
    `E_STOPPED: Stopped. Finished files are kept in "${out}"; the same command continues. What remains: `,
  );
  expect(err).toMatch(/model_q4\.onnx \(not made\), relu_q4\.onnx \(not made\)\.$/m);
});

test("reports the rejected file as not written, and writes the others", async () => {
  const path = await given(root, "outliers", outliers);
  const { code, out } = await pith("quantize", path, "--dtype", "fp16,q4", "--no-fallback", "-o", `${path}.out`);
  expect({ code, out }).toEqual({
    code: 1,
    out: expect.stringMatching(/^rejected: model_q4\.onnx: .* This file was not written\.$/m),
  });
  expect(out).not.toContain("Nothing was written");
  expect(await readdir(join(`${path}.out`, "onnx"))).toEqual(["model.onnx", "model_fp16.onnx"]);
});

describe("a folder with missing files", () => {
  test("is written with the names of the missing files and exit code 1", async () => {
    await expectIncomplete(
      root,
      "text",
      texts,
      ["config.json"],
      "tokenizer.json and tokenizer_config.json are missing",
    );
  });
});
