/** Without data, commands compare the result with the original on random inputs, and reject a result that differs too much. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { random } from "../../../src/core/tensor/random.ts";
import { comparedModels } from "./compared.ts";
import { pith } from "./run.ts";
import { twoOutputs } from "./small-models.ts";

const { folder, saved } = comparedModels();

test("rejects a result with a large error, and warns of one above a tenth", async () => {
  const model = await saved(
    "sum.onnx",
    `opset 21
graph (x: float32[n, 5]) -> (y: float32[n, 1]) {
  w: float32[5, 1] = [[1], [1.01], [1.02], [1.03], [1.04]]
  y = MatMul(x, w)
}`,
  );
  const out = join(folder, "out.onnx");
  const rejected = await pith("prune", "--amount", "0.6", model, "-o", out);
  expect(rejected).toMatchObject({ code: 1 });
  expect(rejected.err).toMatch(
    /^E_ACCURACY_LOST: On random inputs the signal to noise is [12]\.\d+ dB, at least 3 dB are required; real samples can give another result\./,
  );
  const weak = await pith("prune", "--amount", "0.4", model, "-o", out);
  expect(weak).toMatchObject({
    code: 0,
    err: expect.stringMatching(/^dissimilar: on random inputs .* differs from the original's by more than 30 %/),
  });
  expect(weak.out).toMatch(
    /outputs: signal to noise [\d.]+ dB \((fair|bad): an error of [\d.]+ %\), on 32 random inputs/,
  );
  const slight = await saved(
    "wide.onnx",
    `opset 21
graph (x: float32[n, 20]) -> (y: float32[n, 1]) {
  w: float32[20, 1] = [[1.1], ${Array.from({ length: 19 }, (_, at) => `[${(2 + at / 100).toFixed(2)}]`).join(", ")}]
  y = MatMul(x, w)
}`,
  );
  expect(await pith("prune", "--amount", "0.05", slight, "-o", out)).toMatchObject({ code: 0, err: "" });
});

test("a rejection names the layer with the largest error, and how to exclude it", async () => {
  const weak = Array.from(
    { length: 12 },
    (_, row) => `[${Array.from({ length: 12 }, (_, at) => (row === at ? 0.01 : 0)).join(", ")}]`,
  );
  const model = await saved(
    "blamed.onnx",
    `opset 21
graph (x: float32[n, 12]) -> (y: float32[n, 12]) {
  v: float32[12, 12] = random(seed 2)
  z: float32[12, 12] = [${weak.join(", ")}]
  h = MatMul(x, v)
  g = MatMul(h, z)
  y = Sub(h, g)
}`,
  );
  const lost = await pith("prune", "--amount", "1", model, "-o", join(folder, "unwritten.onnx"), "--except", "g");
  expect(lost).toMatchObject({ code: 1 });
  expect(lost.err).toMatch(/layer "h" \(\d+ % of the error, if only it is changed\)/);
  expect(lost.err).toMatch(/kip that layer \(--except g,h\).*pith debug/);
});

test("compares each output, and names the worst", async () => {
  const model = await saved("two.onnx", twoOutputs);
  const out = join(folder, "two-out.onnx");
  const quantized = await pith("quantize", model, "--scheme", "float16", "-o", out);
  expect(quantized.out).toMatch(
    /outputs: signal to noise [\d.]+ dB \(good: an error of [\d.]+ %\) \("y", the worst of 2\), on 32 random inputs/,
  );
  const lost = await pith("prune", "--amount", "1", model, "-o", out);
  expect(lost).toMatchObject({ code: 1, err: expect.stringContaining('E_ACCURACY_LOST: Output "y": on') });
});

test("does not write a result that does not load, also with --force or simplify", async () => {
  // ONNX Runtime moves the padding into the pool, which then pads by more than its window.
  const model = await saved(
    "padded.onnx",
    `opset 17
graph (x: float32[n, 3, 8, 8]) -> (y: float32[...]) {
  w: float32[4, 3, 1, 1] = random(seed 1)
  pads: int64[8] = [0, 0, 0, 0, 0, 0, 4, 0]
  c = Conv(x, w)
  r = Relu(c)
  p = Pad(r, pads)
  y = MaxPool(p) {kernel_shape=[2, 2], strides=[2, 2]}
}`,
  );
  const out = join(folder, "unloadable.onnx");
  for (const force of [[], ["--force"]]) {
    const { code, err } = await pith("prune", "--amount", "0.3", model, ...force, "-o", out);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^E_ENGINE: The result loads without graph optimizations, but not with those of ONNX Runtime: /,
    );
    expect(err).toContain("hint: --force does not write it either");
  }
  const { code, out: output, err } = await pith("simplify", model, "-o", out, "--json");
  expect({ code, out: output }).toEqual({ code: 1, out: "" });
  expect(err).toContain("The result loads without graph optimizations, but not with those of ONNX Runtime");
  expect(existsSync(out)).toBe(false);
});

test("compares outputs on few samples, but not on random inputs beyond the calibrated ranges", async () => {
  const model = await saved(
    "small-inputs.onnx",
    `opset 21
graph (x: float32[n, 16]) -> (y: float32[n, 10]) {
  a.weight: float32[16, 64] = random(seed 1)
  b.weight: float32[64, 10] = random(seed 2)
  h = MatMul(x, a.weight)
  r = Relu(h)
  y = MatMul(r, b.weight)
}`,
  );
  const draw = random(3, "rows");
  const names = Array.from({ length: 16 }, (_, at) => `x${at}`);
  const rows = Array.from({ length: 24 }, () => names.map(() => (0.1 * draw.uniform()).toFixed(5)).join(","));
  const data = join(folder, "rows.csv");
  writeFileSync(data, `${[names.join(","), ...rows].join("\n")}\n`);
  const out = join(folder, "static.onnx");
  const quantized = await pith("quantize", model, "--scheme", "static", "--data", data, "-o", out);
  expect(quantized).toMatchObject({ code: 0 });
  expect(quantized.out).toMatch(/^outputs: .*, on 12 samples/m);
  const lost = await pith("prune", model, "--amount", "1", "--data", data, "-o", join(folder, "lost.onnx"));
  expect(lost).toMatchObject({ code: 1, err: expect.stringContaining("E_ACCURACY_LOST") });
  expect(existsSync(join(folder, "lost.onnx"))).toBe(false);
});
