/** Tests `pith quantize` on a transformers.js folder, and wrong usage. */
import { copyFile, cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { downloadFolder, modelFolder } from "./model-folders.ts";
import { json, pith } from "./run.ts";

const { root, folder } = modelFolder();

test("prints a line per file, and exits with 1 if one is rejected", async () => {
  const out = join(root, "out");
  const { code, out: text, err } = await pith("quantize", folder, "--dtype", "q8,q4", "-o", out);
  expect(code).toBe(1);
  expect(text).toMatch(/^dtype +file +size +brotli +memory +(speed +)?signal to noise +outcome$/m);
  expect(text).toMatch(/^q8 +model_quantized .* kB .* dB +kept$/m);
  expect(text).toMatch(/^q4 +relu_q4 +rejected$/m);
  expect(text).toContain("rejected: relu_q4.onnx: Nothing changed.\n");
  expect(text).toMatch(
    /^written: .*\nchange: q8 [\d.]+ × smaller, signal to noise [\d.]+ dB.*\nnext: run the program in .*README\.md, which loads/m,
  );
  for (const line of text.split("\n").slice(0, 5)) expect(line.length).toBeLessThan(100);
  expect(err).toMatch(/^q8 of model \(1 of 4\): .* kB, signal to noise .* dB \(good: an error of [\d.]+ %\)$/m);
  expect(err).toMatch(/^q4 of relu \(4 of 4\): rejected$/m);
  expect(await readdir(join(out, "onnx"))).toEqual([
    "model.onnx",
    "model_q4.onnx",
    "model_quantized.onnx",
    "relu.onnx",
  ]);
  const again = await json("quantize", folder, "--dtype", "q8,q4", "-o", out);
  expect(again).toMatchObject({
    code: 1,
    files: [{ verdict: "there", nearness: { metric: "signal to noise", unit: "dB" } }, {}, { verdict: "there" }, {}],
  });
});

test.each([
  [["--dtype", "q8"], "quantize needs --data here: the rounding method uses layer inputs."],
  [
    ["--dtype", "q4,fp16", "--text", "a"],
    "--rounder: rdoq is for the dtypes q8, int8 and uint8, and not for q8 with the target webgpu alone, got q4, fp16.",
  ],
  [
    ["--dtype", "q8", "--text", "a", "--target-download", "9kB"],
    "--target-download is for one file, and the folder has model and relu.",
  ],
])("rejects low-entropy values for %s", async (words, error) => {
  const out = join(root, "rejected");
  const { code, err } = await pith("quantize", folder, "--rounder", "rdoq", ...words, "-o", out);
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(error) });
  expect(await readdir(root)).not.toContain("rejected");
});

describe("--target-download of a folder", () => {
  const { words, rows } = downloadFolder(root);

  test.each([
    [
      ["--data", rows, "--rounder", "mse"],
      "--target-download: a download size needs 8-bit integers that the rounding method rdoq chooses",
    ],
    [[], "quantize needs --data here: the rounding method uses layer inputs."],
  ])("is rejected with %s", async (more, error) => {
    const { code, err } = await pith(...words(...more));
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(error) });
  });
});

test("--text with a missing file fails as --data does", async () => {
  const err = async (flag: string) =>
    (await pith("quantize", folder, "--dtype", "q8", flag, "nope.txt", "-o", join(root, "texts"))).err;
  expect(await err("--text")).toMatch(/^E_\w+: .*nope\.txt/m);
  expect(await err("--text")).toBe(await err("--data"));
});

test("names a single result as transformers.js expects", async () => {
  const model = join(folder, "onnx", "model.onnx");
  expect(await json("quantize", model, "--dtype", "q4")).toMatchObject({
    code: 0,
    written: join(folder, "onnx", "model_q4.onnx"),
  });
});

test("compress of a folder without a valid variant keeps the originals and exits with 1", async () => {
  const idle = join(root, "idle");
  await mkdir(join(idle, "onnx"), { recursive: true });
  await copyFile(join(folder, "onnx", "relu.onnx"), join(idle, "onnx", "model.onnx"));
  await writeFile(join(idle, "config.json"), "{}");
  const { code, out: text } = await pith("compress", idle);
  expect({ code, text }).toEqual({
    code: 1,
    text: expect.stringContaining("No variant was written: use the originals.\n"),
  });
  expect(await readdir(join(`${idle}.compressed`, "onnx"))).toEqual(["model.onnx"]);
  const card = await readFile(join(`${idle}.compressed`, "README.md"), "utf8");
  expect(card).toContain("- No variant was written: use the originals.\n\nIn Node");
  expect(card).not.toContain("smallest");
});

test.each([
  [["compress", "", "--max-drop", "1%"], "E_USAGE: --max-drop needs --data, with samples of a model"],
  [
    ["compress", "", "--force"],
    "E_USAGE: --force is for a single model: of a folder only what passes the check is kept.",
  ],
  [
    ["compress", "", "--minutes", "1"],
    "E_USAGE: --minutes is for the search over all techniques, which needs samples.",
  ],
  [["compress", "", "--fresh"], "E_USAGE: --fresh is for the search over all techniques, which needs samples."],
  [
    ["compress", "", "--data", "x.txt", "--target-size", "2kB", "--keep", "front", "--steps", "3"],
    "E_USAGE: --target-size, --keep: for a single model, and",
  ],
  [["compress", "onnx/model.onnx", "--text", "a"], "E_USAGE: --text is for a folder that holds models in onnx/."],
])("rejects %j: %s", async ([command = "", path = "", ...words], message) => {
  const { code, err } = await pith(command, join(folder, path), ...words, "-o", join(root, "none"));
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
});

test("uses the scheme weights for --block if no scheme is named", async () => {
  const { code, out } = await pith(
    "quantize",
    join(folder, "onnx/model.onnx"),
    "--bits",
    "4",
    "--block",
    "32",
    "--dry-run",
  );
  expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining("blocks of 32") });
});

test.each([
  [["onnx/model.onnx", "--dtype", "q8,q4"], "E_USAGE: Several variants, and --chunk, are for the folder of a model"],
  [["", "--dtype", "q8", "--scheme", "weights"], "E_OPTION: --scheme and --dtype cannot be combined: use one of them."],
  [
    [""],
    "E_OPTION: Choose what to quantize: --scheme static (with --data), dynamic, weights or float16.\nhint: For a transformers.js folder: --dtype q8. pith compress with --data tries several and keeps the best.",
  ],
  [["", "--dtype", "q8", "--dry-run"], "model.onnx --dtype q8 --dry-run."],
  [["", "--dtype", "q8", "--text", "a", "--data", "b"], "E_USAGE: Give one of --text and --data."],
  [["", "--dtype", "q9"], "E_OPTION: --dtype: expected"],
  [["", "--dtype", "q8", "--chunk", "24"], "E_OPTION: --chunk takes a size such as 300kB or 2MB"],
])("rejects %j: %s", async ([path = "", ...words], message) => {
  const { code, err } = await pith("quantize", join(folder, path), ...words, "-o", join(root, "none"));
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(message) });
});

test.each([
  [["--data", "missing.txt"], "missing.txt"],
  [["--text", "a line"], "contains text, and the input takes numbers"],
])("rejects %j before anything is written", async (words, message) => {
  const out = join(root, "unwritten");
  const { code, err } = await pith("quantize", folder, "--dtype", "q8,q4", ...words, "-o", out);
  expect({ code, err }).toEqual({ code: expect.any(Number), err: expect.stringContaining(message) });
  expect(code).toBeGreaterThan(0);
  expect(err.match(/^E_/gm)).toHaveLength(1);
  expect(await readdir(root)).not.toContain("unwritten");
});

test("rejects an output folder inside the copied folder", async () => {
  const { code, err } = await pith("quantize", folder, "--dtype", "q4", "-o", join(folder, "web"));
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining("which is copied into it") });
  expect(await readdir(folder)).not.toContain("web");
});

test("warns if the originals are quantized already", async () => {
  const again = join(root, "again");
  await cp(folder, again, { recursive: true });
  await copyFile(join(folder, "onnx", "model_q4.onnx"), join(again, "onnx", "model.onnx"));
  const { err } = await pith("quantize", again, "--dtype", "q8", "-o", join(root, "of-codes"));
  expect(err).toContain("the weights of model.onnx are quantized already: begin with the float32 export");
});
