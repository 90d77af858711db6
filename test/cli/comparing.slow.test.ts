/** Commands compare each output of a model with several, on random inputs and on samples. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { pith } from "./run.ts";
import { twoOutputs } from "./small-models.ts";

const folder = temporaryFolder();

test("names the worst output, and compares only the one that --output names", async () => {
  const model = join(folder, "two.onnx");
  await save(parseModel(twoOutputs), model);
  const out = join(folder, "two-out.onnx");
  const factorized = (...more: string[]) => pith("factorize", "--rank", "1", "--no-timing", model, "-o", out, ...more);
  expect((await factorized()).err).toContain('"y"');
  const asked = await factorized("--output", "aux");
  expect(asked).toMatchObject({ code: 0, out: expect.stringContaining('output "aux": equal, on 32 random inputs') });

  const data = join(folder, "two.jsonl");
  const row = (sample: number) => Array.from({ length: 12 }, (_, at) => Math.sin((12 * sample + at) ** 2));
  writeFileSync(data, Array.from({ length: 200 }, (_, sample) => `${JSON.stringify({ x: row(sample) })}\n`).join(""));
  const measured = await pith("quantize", model, "--scheme", "float16", "--data", data, "-o", out);
  expect(measured.out).toMatch(/\noutputs: signal to noise [\d.]+ dB \("y", the worst of 2\), on 32 samples\n/);
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
