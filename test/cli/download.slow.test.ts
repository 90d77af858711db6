/** Tests low-entropy values on the command line: training, stopping and resuming. */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { preparedDownload } from "./downloading.ts";
import { json, pith } from "./run.ts";

const { at, words, data, lossy } = preparedDownload();
/** 64 · 8 + 64 · 64 + 4 · 64 weights and 132 biases. */
const parameters = 4996;

const brotliOf = ({ after }: Awaited<ReturnType<typeof json>>): number => Number(Object(after).brotli);

describe("--max-drop with rdoq", () => {
  const strong = ["--rounder", "rdoq", "--distortion", "0.16"];

  test("lowers the distortion until the goal is met, and prints it", async () => {
    const { code, out, err } = await pith(...words(...strong, "--max-drop", "4%", ...data()));
    expect(code, err).toBe(0);
    expect(err).toMatch(/looking for the layers|distortion/);
    expect(out).toMatch(/distortion 0\.\d+/);
  });
});

describe("--epochs with rdoq", () => {
  const trained = ["--rounder", "rdoq", "--distortion", "0.1", "--epochs", "2"];

  test("writes the same file as a recipe with the same options", async () => {
    const alone = await json(...words(...trained, ...lossy()));
    expect(alone).toMatchObject({ code: 0 });
    const steps = "steps:\n  - quantize: { scheme: weights, rounder: rdoq, distortion: 0.1, epochs: 2 }\n";
    writeFileSync(at("recipe.yaml"), steps);
    const rest = ["--recipe", at("recipe.yaml"), "-o", at("recipe"), ...lossy()];
    const { code, err } = await pith("compress", at("network.onnx"), ...rest);
    expect(code, err).toBe(0);
    expect(readFileSync(at("recipe/model.onnx")).equals(readFileSync(at("out.onnx")))).toBe(true);
  });

  test("resumes a stopped training with --resume, and rejects it without a checkpoint", async () => {
    const checkpoint = ["--checkpoint", at("checkpoint")];
    const first = await pith(...words(...trained, ...checkpoint, ...lossy()));
    expect(first.code, first.err).toBe(0);
    const { code, err } = await pith(...words(...trained, ...checkpoint, "--resume", ...lossy(), "--force"));
    expect(code, err).toBe(0);
    expect(err).toContain("the checkpoint has done the 2 epochs that are requested");
    const rejected = await pith(...words(...trained, "--resume", ...lossy()));
    expect(rejected.code).toBe(2);
    expect(rejected.err).toContain("--resume: expected --checkpoint, the folder to continue from");
  });
});

describe("--target-download", () => {
  test("uses rdoq by default, logs it, and writes a file below the size", async () => {
    const report = await json(...words("--target-download", "3kB", ...lossy()));
    expect(report).toMatchObject({ code: 0 });
    expect(brotliOf(report)).toBeLessThanOrEqual(3000);
    const larger = await json(...words("--target-download", "4kB", ...lossy()));
    expect(brotliOf(larger)).toBeGreaterThan(brotliOf(report));
    const { err } = await pith(...words("--target-download", "4kB", ...lossy()));
    expect(err).toMatch(/--target-download uses --rounder rdoq/);
  });

  test("accepts bits per weight of the whole file after brotli", async () => {
    const report = await json(...words("--target-download", "5bpw", ...lossy()));
    expect(report).toMatchObject({ code: 0, before: { parameters } });
    expect((8 * brotliOf(report)) / parameters).toBeLessThanOrEqual(5);
    expect((8 * brotliOf(report)) / parameters).toBeGreaterThan(4);
  });
});
