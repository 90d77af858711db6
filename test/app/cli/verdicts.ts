/** Defines the tests of verdicts for the given weight formats. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const [inputs, outputs] = [256, 8];

/** Saves a model with similar weights for all outputs: they differ by `spread`, with values from 512 to 3,600. */
async function nearlyEqual(name: string, output: "classes" | "differences", spread: number): Promise<string> {
  const differences = "a = Slice(h, [0], [4], [1])\n  b = Slice(h, [4], [8], [1])\n  y = Sub(a, b)";
  const constants = "zero: int64[1] = [0]\n  four: int64[1] = [4]\n  eight: int64[1] = [8]\n  one: int64[1] = [1]\n  ";
  const rest = differences.replace("[0], [4], [1]", "zero, four, one").replace("[4], [8], [1]", "four, eight, one");
  const model = parseModel(`opset 21
graph (x: float32[batch, ${inputs}]) -> (y: float32[batch, ${output === "classes" ? outputs : 4}]) {
  ${output === "classes" ? "" : constants}fc.weight: float32[${inputs}, ${outputs}] = zeros
  ${output === "classes" ? "y = MatMul(x, fc.weight)" : `h = MatMul(x, fc.weight)\n  ${rest}`}
}`);
  const numbers = random(1, "weights");
  const values = Array.from({ length: inputs * outputs }, (_, at) => {
    const base = 512 + 100 * (Math.floor(at / outputs) % 32);
    return base + spread * numbers.normal();
  });
  const weight = model.graph.value("fc.weight");
  if (weight !== undefined) weight.tensor = inMemory(float32([inputs, outputs], values));
  await save(model, at(name));
  return at(name);
}

const samples = at("samples.csv");
const drawn = random(2, "samples");
writeFileSync(
  samples,
  [
    Array.from({ length: inputs }, (_, at) => `x${at}`).join(),
    ...Array.from({ length: 300 }, () => Array.from({ length: inputs }, () => drawn.normal().toFixed(4)).join()),
  ].join("\n"),
);

type Format = readonly [name: string, words: readonly string[], spread: number];

/**
 * Words of the command, and the spread at which about a fifth of the variance is lost (an eighth of it is lost entirely). Ranges of
 * the static scheme need samples.
 */
export const formats: readonly Format[] = [
  ["8 bits", ["--scheme", "weights"], 15],
  ["blocks of 4 bits", ["--scheme", "weights", "--bits", "4"], 250],
  ["blocks of 2 bits", ["--scheme", "weights", "--bits", "2"], 1500],
  ["blocks of 4 bits in operators of ONNX", ["--scheme", "weights", "--bits", "4", "--onnx-only"], 250],
  ["a palette", ["--scheme", "weights", "--weights", "palette", "--bits", "4"], 120],
  ["float16", ["--scheme", "float16"], 0.8],
  ["bfloat16", ["--scheme", "bfloat16"], 6],
  ["dynamic", ["--scheme", "dynamic"], 30],
];
export const withSamples: readonly Format[] = [["static", ["--scheme", "static"], 15]];
const out = at("out.onnx");

/** Products on both sides of an unknown operator, whose output has no known rank. */
const unknown = `opset 21, custom 1
graph (x: float32[n, 64]) -> (y: float32[n, 32]) {
  a.weight: float32[64, 64] = random(seed 1)
  b.weight: float32[64, 32] = random(seed 2)
  b.bias: float32[32] = random(seed 3)
  h = MatMul(x, a.weight)
  m = custom.MyAct(h)
  r = Relu(m)
  y = Gemm(r, b.weight, b.bias)
}`;

const networks = {
  "too small to gain":
    "(x: float32[n, 4]) -> (y: float32[n, 2]) {\n  w: float32[4, 2] = random(seed 1)\n  y = MatMul(x, w)\n}",
  "without layers": "(x: float32[n, 4]) -> (y: float32[n, 4]) {\n  y = Relu(x)\n}",
  "with a small LSTM alone": `(x: float32[t, n, 2]) -> (y) {
  w: float32[1, 8, 2] = random(seed 1)
  r: float32[1, 8, 2] = random(seed 2)
  y = LSTM(x, w, r) {hidden_size=2}
}`,
};

/** Defines the tests of rejections on samples. */
export function testRefusals(formats: readonly Format[]): void {
  test.each(formats)("%s: rejects a result with other predictions on samples", async (_, words, spread) => {
    const model = await nearlyEqual("classes.onnx", "classes", spread / 30);
    const { code, err } = await pith("quantize", ...words, model, "--data", samples, "-o", at("spoiled.onnx"));
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("E_ACCURACY_LOST: Agreement went from") });
    expect(existsSync(at("spoiled.onnx"))).toBe(false);
  });
}

/** Defines the tests without samples, which only the static scheme requires. */
export function testVerdicts(formats: readonly Format[]): void {
  test.each(formats)(
    "%s without data: warns below 10 dB, and rejects a result below 3 dB",
    async (_, words, spread) => {
      const [near, far] = [await nearlyEqual("near.onnx", "differences", spread), at("rejected.onnx")];
      const { code, err } = await pith("quantize", ...words, near, "-o", out);
      expect({ code, err }).toEqual({
        code: 0,
        err: expect.stringContaining("differs from the original's by more than 30 %"),
      });
      const rejected = await pith(
        "quantize",
        ...words,
        await nearlyEqual("far.onnx", "differences", spread / 8),
        "--no-fallback",
        "-o",
        far,
      );
      expect(rejected).toMatchObject({ code: 1, err: expect.stringContaining("E_ACCURACY_LOST: On random inputs") });
      expect(existsSync(far)).toBe(false);
    },
  );

  test.each(formats)("%s: a result with unknown operators requires --force", async (_, words) => {
    const model = at("unknown.onnx");
    await save(parseModel(unknown), model);
    const { code, err } = await pith("quantize", ...words, model, "-o", out);
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(/has no custom\.MyAct.*\n.*--force writes it/),
    });
  });

  test.each(
    Object.entries(networks).flatMap(([which, text]) =>
      formats
        .filter(([, words]) => !words.includes("float16") && !words.includes("bfloat16"))
        .map(([name, words]) => ({ which, name, words, text })),
    ),
  )("$name: a network $which is not written", async ({ words, text }) => {
    await save(parseModel(`opset 21\ngraph ${text}`), at("small.onnx"));
    const { code, out: output, err } = await pith("quantize", ...words, at("small.onnx"), "-o", at("gained.onnx"));
    expect({ code, out: output + err }).toEqual({
      code: 1,
      out: expect.stringMatching(/nothing was gained|nothing changed/i),
    });
    expect(existsSync(at("gained.onnx"))).toBe(false);
  });
}
