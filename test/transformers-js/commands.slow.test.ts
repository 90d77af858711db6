/** Tests folders that `compress` and `--target` write. The card's values equal those of later commands. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { env, T5ForConditionalGeneration, Tensor } from "@huggingface/transformers";
import { beforeAll, describe, expect, test } from "vitest";
import { similarityFrom } from "../../src/app/folder/end-to-end.ts";
import { similarityText } from "../../src/app/folder/folder-table.ts";
import { bytes } from "../../src/core/numbers.ts";
import type { Comparison } from "../../src/judge/index.ts";
import { json } from "../app/cli/run.ts";
import { browser } from "../browser.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { texts, textToText } from "./small-folders.ts";

const root = temporaryFolder();
const textFlags = texts.flatMap((text) => ["--text", text]);
const original = join(root, "t5");
beforeAll(() => textToText(original));

interface Row {
  readonly dtype: string;
  readonly file: string;
  readonly verdict: string;
  readonly reason?: string;
  readonly bytes: number;
  readonly brotli: number;
  readonly rightOn?: readonly string[];
  readonly speeds?: readonly { readonly where: string }[];
  readonly loader: { readonly outcome: string };
}
const rowsOf = (found: Readonly<Record<string, unknown>>) => found.files as readonly Row[];

test("compress writes the files that transformers.js loads without a dtype", async () => {
  const out = join(root, "best");
  const rows = rowsOf(await json("compress", original, ...textFlags, "-o", out));
  const kept = rows.filter(({ verdict }) => verdict === "kept");
  expect(kept).toHaveLength(2);
  for (const { loader } of rows) expect(loader).toMatchObject({ outcome: "runs", version: env.version });
  expect(readdirSync(join(out, "onnx")).map((name) => `onnx/${name}`)).toEqual(
    ["onnx/decoder_model_merged.onnx", "onnx/encoder_model.onnx", ...kept.map(({ file }) => file)].sort(),
  );
  expect(readFileSync(join(out, "README.md"), "utf8")).toContain("Made with `pith compress`.");
  const asked: string[] = [];
  Object.assign(env, { allowRemoteModels: false, localModelPath: `${root}/` });
  const ids = new Tensor("int64", [7n, 30n, 2n], [1, 3]);
  const tokens = async (): Promise<unknown> => {
    const model = await T5ForConditionalGeneration.from_pretrained("best", {
      device: "cpu",
      progress_callback: (told) => {
        if ("file" in told) asked.push(told.file);
      },
    });
    const attention_mask = new Tensor("int64", [1n, 1n, 1n], [1, 3]);
    const output = await model.generate({ inputs: ids, attention_mask, max_new_tokens: 8 });
    await model.dispose();
    return output instanceof Tensor ? output.tolist() : output;
  };
  const generatedTokens = await tokens();
  for (const { file } of kept) expect(asked).toContain(file);
  expect(generatedTokens).toEqual([expect.arrayContaining([0n])]);
});

test("q8 with low-entropy values is a smaller download that transformers.js loads", async () => {
  const [plain, low] = [join(root, "plain"), join(root, "low")];
  const lines = Array.from({ length: 96 }, (_, at) =>
    [1, 3, 7, 11].map((step) => `w${(step * at + step) % 90}`).join(" "),
  );
  const data = join(root, "many.txt");
  writeFileSync(data, lines.join("\n"));
  const words = ["quantize", original, "--dtype", "q8", "--data", data];
  const before = rowsOf(await json(...words, "-o", plain));
  // Random weights give scores that are nearly equal, so that small errors change predictions.
  const rows = rowsOf(
    await json(...words, "--rounder", "rdoq", "--distortion", "0.0001", "--precompress", "br", "-o", low),
  );
  expect(rows).toHaveLength(2);
  for (const [at, { file, verdict, reason, loader, brotli }] of rows.entries()) {
    expect({ file, verdict, reason, loader }).toMatchObject({ verdict: "kept", loader: { outcome: "runs" } });
    expect(brotli).toBeLessThan(before[at]?.brotli ?? 0);
    const copy = brotliDecompressSync(readFileSync(join(low, `${file}.br`)));
    expect(copy.equals(readFileSync(join(low, file)))).toBe(true);
  }
  Object.assign(env, { allowRemoteModels: false, localModelPath: `${root}/` });
  const model = await T5ForConditionalGeneration.from_pretrained("low", { device: "cpu", dtype: "q8" });
  const inputs = new Tensor("int64", [7n, 30n, 2n], [1, 3]);
  const attention_mask = new Tensor("int64", [1n, 1n, 1n], [1, 3]);
  const output = await model.generate({ inputs, attention_mask, max_new_tokens: 8 });
  expect(output instanceof Tensor ? output.tolist() : output).toEqual([expect.arrayContaining([0n])]);
  await model.dispose();
});

test.skipIf(browser === undefined)("--target wasm compares and times each file of a folder in a browser", async () => {
  const words = ["--dtype", "q8,fp16", "--target", "wasm", "-o", join(root, "wasm")];
  const rows = rowsOf(await json("quantize", original, ...words));
  expect(rows).toHaveLength(4);
  for (const { verdict, rightOn, speeds = [], loader } of rows) {
    expect({ verdict, rightOn, loader }).toMatchObject({
      ...{ verdict: "kept", rightOn: ["wasm"], loader: { outcome: "runs" } },
    });
    // Pith reports speeds only if the machine was idle enough to measure them.
    for (const { where } of speeds) expect(where).toMatch(/^WebAssembly in \S*Chrome/);
  }
  expect(readFileSync(join(root, "wasm", "README.md"), "utf8").match(/\| wasm \|/g)).toHaveLength(4);
});

const [bert, reviews] = [shared("data/models/bert_sst2"), shared("data/text/sst2_dev.tsv")];
describe.skipIf(bert === undefined || reviews === undefined)("the card's table", () => {
  /** Returns the cells of the card's rows by title, for each file. */
  const table = (folder: string): ReadonlyMap<string, Readonly<Record<string, string>>> => {
    const lines = readFileSync(join(folder, "README.md"), "utf8").split("\n");
    const [titles = [], ...rows] = lines
      .filter((line) => /^\| (dtype \||\w+ \| onnx\/)/.test(line))
      .map((line) => line.split("|").map((cell) => cell.trim()));
    return new Map(
      rows.map((cells) => [cells[2] ?? "", Object.fromEntries(titles.map((title, at) => [title, cells[at] ?? ""]))]),
    );
  };

  test.each(["labels.tsv", "lines.txt"])("has the values of eval and bench for the same files on %s", async (name) => {
    const lines = readFileSync(reviews ?? "", "utf8")
      .split("\n")
      .slice(0, 120);
    const data = join(root, name);
    writeFileSync(data, (name.endsWith(".txt") ? lines.map((line) => line.split("\t")[0]) : lines).join("\n"));
    const out = join(root, `card of ${name}`);
    await json("quantize", bert ?? "", "--dtype", "q8,q4,fp16", "--data", data, "--rounder", "nearest", "-o", out);
    const cells = table(out);
    const results = ["model_quantized", "model_q4", "model_fp16"].map((base) => `onnx/${base}.onnx`);
    expect([...cells.keys()]).toEqual(["onnx/model.onnx", ...results]);
    const paths = [...cells.keys()].map((file) => join(out, file));
    const { models } = (await json("bench", ...paths, "--rounds", "2")) as {
      readonly models: readonly { readonly bytes: number; readonly brotli: number; readonly sampled: boolean }[];
    };
    for (const [at, [file, { size, brotli, ...others }]] of [...cells].entries()) {
      expect({ file, size }).toEqual({ file, size: bytes(models[at]?.bytes ?? 0) });
      const compressedText = `${models[at]?.sampled === true ? "≈ " : ""}${bytes(models[at]?.brotli ?? 0)}`;
      expect({ file, brotli }).toEqual({ file, brotli: compressedText });
      if (at === 0) continue;
      const evaluation = await json(
        "eval",
        join(out, file),
        "--original",
        join(out, "onnx/model.onnx"),
        "--data",
        data,
      );
      const nearness = similarityFrom(evaluation.comparison as Comparison);
      expect({ file, measured: others[nearness?.metric ?? ""] }).toEqual({
        file,
        measured: nearness && similarityText(nearness),
      });
    }
  });
});
