/** Tests low-entropy values on the command line: goals for predictions and for the download. */
import { describe, expect, test } from "vitest";
import { preparedDownload } from "./downloading.ts";
import { json, pith } from "./run.ts";

const { words, data, lossy } = preparedDownload();
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
