/** Tests goals for low-entropy values: a compressed size, bits per weight, a drop. */
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { random } from "../../src/core/tensor/random.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at, folder } = smallModels();
/** 64 · 8 + 64 · 64 + 4 · 64 weights and 132 biases. */
const parameters = 4996;
const network = `opset 21
graph (features: float32[batch, 8]) -> (logits: float32[batch, 4]) {
  fc1.weight: float32[64, 8] parameter = random(seed 1)
  fc1.bias: float32[64] parameter = zeros
  fc2.weight: float32[64, 64] parameter = random(seed 2)
  fc2.bias: float32[64] parameter = zeros
  fc3.weight: float32[4, 64] parameter = random(seed 3)
  fc3.bias: float32[4] parameter = zeros
  a = Gemm "fc1" (features, fc1.weight, fc1.bias) {transB=1}
  b = Relu(a)
  c = Gemm "fc2" (b, fc2.weight, fc2.bias) {transB=1}
  d = Relu(c)
  logits = Gemm "fc3" (d, fc3.weight, fc3.bias) {transB=1}
}
`;
const words = (...more: readonly string[]): string[] => [
  ...["quantize", at("network.onnx"), "--scheme", "weights", "-o", at("out.onnx")],
  ...more,
];
const data = (): readonly string[] => ["--data", at("rows.csv"), "--metric", "agreement"];
/** Allows any loss, so that only the size decides. */
const lossy = (): readonly string[] => [...data(), "--max-drop", "99%"];

beforeAll(async () => {
  await save(parseModel(network), at("network.onnx"));
  const numbers = random(5, "rows");
  const names = Array.from({ length: 8 }, (_, index) => `x${index}`);
  const rows = Array.from({ length: 600 }, () => names.map(() => numbers.normal()).join(","));
  writeFileSync(at("rows.csv"), `${names.join(",")}\n${rows.join("\n")}\n`);
});

const brotliOf = ({ after }: Awaited<ReturnType<typeof json>>): number => Number(Object(after).brotli);

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

  test("fails with the smallest size if no setting reaches it, and writes nothing", async () => {
    const before = readdirSync(folder).filter((name) => name !== "out.onnx");
    const unreachable = words("--target-download", "100B", ...lossy()).map((word) =>
      word === at("out.onnx") ? at("unreachable.onnx") : word,
    );
    const { code, err } = await pith(...unreachable);
    expect(code).toBe(1);
    expect(err).toMatch(/No setting fits a download of 100 bytes: the smallest has \d+ bytes\./);
    expect(err).toContain("hint: Remove channels first: pith prune --structured.");
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

test.each(["--distortion", "--epochs"])("%s without rdoq fails before the original is evaluated", async (flag) => {
  const { code, out, err } = await pith(...words(flag, "1", ...data()));
  expect(code).toBe(2);
  expect(err).toContain(`${flag}: belongs to the rounding method "rdoq", got "nearest".`);
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
