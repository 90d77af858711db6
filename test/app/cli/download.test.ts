/** Tests goals for low-entropy values: a compressed size, bits per weight, a drop. */
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { preparedDownload } from "./downloading.ts";
import { pith } from "./run.ts";

const { at, folder, words, data, lossy } = preparedDownload();

describe("--target-download", () => {
  test("fails with the smallest size if no setting reaches it, and writes nothing", async () => {
    const before = readdirSync(folder).filter((name) => name !== "out.onnx");
    const unreachable = words("--target-download", "100B", ...lossy()).map((word) =>
      word === at("out.onnx") ? at("unreachable.onnx") : word,
    );
    const { code, err } = await pith(...unreachable);
    expect(code).toBe(1);
    expect(err).toMatch(/No setting fits a download of 100 bytes: the smallest has \d+ bytes\./);
    expect(err).toContain("hint: Remove channels first: `pith prune --structured`.");
    expect(readdirSync(folder).filter((name) => name !== "out.onnx")).toEqual(before);
  });

  test.each([[["--bits", "4"]], [["--rounder", "mse"]], [["--weights", "palette"]], [["--block", "32"]]])(
    "rejects %s, which determines other values",
    async (options) => {
      const { code, err } = await pith(...words("--target-download", "3kB", ...options, ...data()));
      expect(code).toBe(2);
      expect(err).toMatch(
        /--target-download: a download size needs 8-bit integers that the rounding method rdoq chooses/,
      );
      expect(err).toContain("hint: Use --scheme weights, dynamic or static");
    },
  );

  test("excludes --target-size, which sets other options", async () => {
    const { code, err } = await pith(...words("--target-download", "3kB", "--target-size", "5kB", ...data()));
    expect(code).toBe(2);
    expect(err).toContain("--target-download and --target-size are two goals");
  });

  test("excludes --distortion, which it determines", async () => {
    const { code, err } = await pith(...words("--target-download", "3kB", "--distortion", "0.01", ...data()));
    expect(code).toBe(2);
    expect(err).toContain("--target-download chooses the distortion, and --distortion gives one.");
  });

  test("requires samples", async () => {
    const { code, err } = await pith(...words("--target-download", "3kB"));
    expect(code).toBe(2);
    expect(err).toContain("quantize needs --data here: the rounding method uses layer inputs.");
    expect(err).toMatch(/hint: Add typical inputs, such as --data photos\/; labels are not needed/);
  });

  test("accepts only sizes and bits per weight", async () => {
    const { code, err } = await pith(...words("--target-download", "3bits", ...data()));
    expect(code).toBe(2);
    expect(err).toContain("takes a size such as 100kB, or bits per weight such as 2.5bpw");
  });
});

test("--distortion without rdoq fails before the original is evaluated", async () => {
  const { code, out, err } = await pith(...words("--distortion", "1", ...data()));
  expect(code).toBe(2);
  expect(err).toContain(`--distortion: belongs to the rounding method "rdoq", got "nearest".`);
  expect(`${out}${err}`).not.toMatch(/original [\d.]+ %/);
});

describe("--max-drop with rdoq", () => {
  const strong = ["--rounder", "rdoq", "--distortion", "0.32"];

  test("fails and writes nothing if no distortion meets it", async () => {
    const rejected = words(...strong, "--no-fallback", "--max-drop", "0.1%", ...data()).map((word) =>
      word === at("out.onnx") ? at("rejected.onnx") : word,
    );
    expect((await pith(...rejected)).code).toBe(1);
    expect(existsSync(at("rejected.onnx"))).toBe(false);
  });
});
