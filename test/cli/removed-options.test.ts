/** Options and values that were removed: the command line and recipes name the replacement. */
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { temporaryFolder } from "../temporary.ts";
import { pith } from "./run.ts";

const path = join(temporaryFolder(), "net.onnx");

beforeAll(async () => {
  const net =
    "opset 17\ngraph (x: float32[n, 2]) -> (y) {\n  w: float32[2, 2] = random(seed 1)\n  y = MatMul(x, w)\n}\n";
  await save(parseModel(net), path);
});

test.each([
  ["--weights float8", { weights: "float8" }, "int8, the default, is as small, and integers run on every runtime."],
  ["--weights fp4", { weights: "fp4" }, "nf4 has the same size and loses less."],
  ["--override w:weights=fp4", { overrides: { w: { weights: "fp4" } } }, "nf4 has the same size and loses less."],
  ["--ranges average", { ranges: "average" }, "percentile also clips rare values."],
  ["--symmetric", { symmetric: true }, "the scheme decides, and static ranges have a zero point, which loses less."],
  [
    "--arithmetic float16",
    { arithmetic: "float16" },
    'the dtype "fp16" computes in float16, also for GPUs (--dtype fp16).',
  ],
  [
    "--integer-form qoperator",
    { integerForm: "qoperator" },
    "static int8 is in the QDQ format, and runtimes fuse its nodes to integer operators.",
  ],
  [
    "--bias-correction fast",
    { biasCorrection: "fast" },
    "full, the default, also compensates for quantized activations.",
  ],
])("names the replacement of a removed option: quantize %s, and %j in a recipe", async (words, options, advice) => {
  const { code, err } = await pith("quantize", path, "--scheme", "weights", ...words.split(" "));
  expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining(`\nhint: It was removed: ${advice}\n`) });
  const recipe = { steps: [{ quantize: { scheme: "weights", ...options } }] };
  expect(() => recipeFrom(recipe)).toThrow(expect.objectContaining({ hint: `It was removed: ${advice}` }));
});
