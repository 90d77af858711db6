/** Commands compare each output of a model with several, on random inputs and on samples. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { comparedModels } from "./compared.ts";
import { pith } from "./run.ts";
import { twoOutputs } from "./small-models.ts";

const { folder, saved } = comparedModels();

test("names the worst output, and compares only the one that --output names", async () => {
  const model = join(folder, "two.onnx");
  await save(parseModel(twoOutputs), model);
  const out = join(folder, "two-out.onnx");
  const factorized = (...more: string[]) => pith("factorize", "--rank", "1", model, "-o", out, ...more);
  expect((await factorized()).err).toContain('"y"');
  const asked = await factorized("--output", "aux");
  expect(asked).toMatchObject({ code: 0, out: expect.stringContaining('output "aux": equal, on 32 random inputs') });

  const data = join(folder, "two.jsonl");
  const row = (sample: number) => Array.from({ length: 12 }, (_, at) => Math.sin((12 * sample + at) ** 2));
  writeFileSync(data, Array.from({ length: 200 }, (_, sample) => `${JSON.stringify({ x: row(sample) })}\n`).join(""));
  const measured = await pith("quantize", model, "--scheme", "float16", "--data", data, "-o", out);
  expect(measured.out).toMatch(
    /\noutputs: signal to noise [\d.]+ dB \((?:good|fair|bad): an error of [\d.]+ %\) \("y", the worst of 2\), on 32 samples\n/,
  );
  const beside = await pith("prune", "--amount", "1", model, "--data", data, "-o", out);
  expect(beside).toMatchObject({
    code: 1,
    err: expect.stringContaining('E_ACCURACY_LOST: Output "y": on the samples'),
  });
  const recipe = join(folder, "recipe.yaml");
  writeFileSync(recipe, "steps:\n  - prune: { amount: 1 }\n");
  const run = await pith("compress", model, "--recipe", recipe, "--data", data, "-o", join(folder, "two-compressed"));
  expect(run).toMatchObject({ code: 1, err: expect.stringContaining('E_ACCURACY_LOST: Output "y": on the samples') });
});

test("eval and debug name an output that is missing or has lost an axis", async () => {
  const original = await saved(
    "form.onnx",
    `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4], z: float32[n, 4]) {
  w: float32[4, 4] = random(seed 1)
  y = MatMul(x, w)
  z = Relu(y)
}`,
  );
  const flat = await saved(
    "flat.onnx",
    `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4], z: float32[m]) {
  w: float32[4, 4] = random(seed 1)
  s: int64[1] = [-1]
  y = MatMul(x, w)
  r = Relu(y)
  z = Reshape(r, s)
}`,
  );
  const alone = await saved(
    "alone.onnx",
    `opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  w: float32[4, 4] = random(seed 1)
  y = MatMul(x, w)
}`,
  );
  const data = join(folder, "rows.csv");
  const draw = random(0, "rows");
  const rows = Array.from({ length: 40 }, () => Array.from({ length: 4 }, () => draw.normal().toFixed(4)).join(","));
  writeFileSync(data, ["a,b,c,d", ...rows].join("\n"));
  for (const [model, text] of [
    [flat, 'output "z" is ['],
    [alone, 'the result has no output "z"'],
  ] as const) {
    const measured = await pith("eval", model, "--original", original, "--data", data, "--max-drop", "1%");
    expect(measured).toMatchObject({ code: 1, out: expect.stringContaining(`missed: `) });
    expect(measured.out).toContain(text);
    expect(measured.out).not.toContain("is met");
    const asked = await pith("eval", model, "--original", original, "--data", data, "--output", "y");
    expect(asked).toMatchObject({ code: 0, out: expect.not.stringContaining("missed") });
    for (const more of [[], ["--data", data]])
      expect((await pith("debug", original, model, ...more)).out.toLowerCase()).toContain(text);
  }
});

describe("a model that loads with graph optimizations only after simplify", () => {
  const broken = () =>
    saved(
      "broken.onnx",
      `opset 17
graph (x: float32[n, 64]) -> (y: float32[n, 64]) {
  one: float32[] = 1
  zero: float32[] = 0
  w: float32[64, 64] = random(seed 1)
  same = Identity(x)
  factor = Div(one, one)
  m = Mul(same, factor)
  a = Add(m, zero)
  y = MatMul(a, w)
}`,
    );

  test("is simplified first by the commands that change it, and its data is opened once", async () => {
    const model = await broken();
    const out = join(folder, "healed.onnx");
    const data = join(folder, "waves.jsonl");
    const row = (sample: number) => Array.from({ length: 64 }, (_, at) => Math.sin((64 * sample + at) ** 2));
    writeFileSync(data, Array.from({ length: 200 }, (_, sample) => `${JSON.stringify({ x: row(sample) })}\n`).join(""));
    for (const words of [
      ["quantize", "--scheme", "static", "--data", data],
      ["prune", "--amount", "0.3"],
    ]) {
      const { code, err } = await pith(...words, model, "-o", out);
      expect({ code, said: err.includes("is simplified first") }).toEqual({ code: 0, said: true });
      expect(err.match(/its 200 samples are split/g) ?? []).toHaveLength(words.includes(data) ? 1 : 0);
    }
  });

  test("is rejected by commands that only run it, with the command that helps", async () => {
    const model = await broken();
    expect(await pith("bench", model)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`hint: Run pith simplify ${model} first, and use its result: it loads.`),
    });
  });
});
