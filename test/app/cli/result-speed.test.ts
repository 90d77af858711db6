/** Tests the speed of results that commands print. */
import { beforeAll, expect, test } from "vitest";
import { keysOf } from "../../../src/app/cli/flags/check-flags.ts";
import { asFlags } from "../../../src/app/cli/flags/flag-names.ts";
import { fasterAdvice } from "../../../src/app/cli/jobs/parts/advice.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { factorize } from "../../../src/techniques/factorize/factorize.ts";
import { quantize } from "../../../src/techniques/quantize/quantize.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  const wide = hidden.replaceAll("batch", "512");
  await save(parseModel(wide), at("wide.onnx"));
});

const timeLine = /^time, 1 thread( +[\d.]+ ms){2} +(about as fast|[\d.–]+ × as fast( \(.*\))?)$/m;

test("prints the time of a result with other operators, and its speed with --json", async () => {
  const words = ["quantize", at("wide.onnx"), "--scheme", "dynamic", "--force", "-o", at("q.onnx")];
  const { code, out, err } = await pith(...words);
  expect(code, err).toBe(0);
  expect(out).toMatch(timeLine);
  const { speed } = (await json(...words)) as { speed?: Record<string, unknown> };
  expect(speed).toEqual({
    against: at("wide.onnx"),
    ...{ median: expect.any(Number), low: expect.any(Number), high: expect.any(Number) },
    before: expect.any(Number),
    milliseconds: expect.any(Number),
  });
});

test("prints no speed if only weight values change", async () => {
  const { code, out, err } = await pith("prune", at("wide.onnx"), "--amount", "60%", "--force", "-o", at("p.onnx"));
  expect(code, err).toBe(0);
  expect(out).not.toMatch(/^(time|speed)/m);
});

test.each([
  [
    "quantize",
    quantize,
    { scheme: "weights" },
    ". Try --scheme static with samples, which is faster for many networks.",
  ],
  [
    "quantize",
    quantize,
    { scheme: "static" },
    ". Keep depthwise layers in float and compare the speed: --except dw1,dw2.",
  ],
  [
    "quantize without a layer",
    quantize,
    { scheme: "static", except: "dw1" },
    ". Keep depthwise layers in float and compare the speed: --except dw1,dw2.",
  ],
  ["quantize without depthwise layers", quantize, { scheme: "static", except: "dw*" }, ""],
  ["factorize", factorize, { budget: 0.7 }, ""],
] as const)("fasterAdvice for %s names options that may be faster", async (_name, pass, options, text) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 4, 6, 6]) -> (y) {
  dw1.weight: float32[4, 1, 3, 3] = random(seed 1)
  mix.weight: float32[6, 4, 1, 1] = random(seed 2)
  dw2.weight: float32[6, 1, 3, 3] = random(seed 3)
  g.weight: float32[6, 3, 1, 1] = random(seed 4)
  a = Conv(x, dw1.weight) {group=4}
  b = Conv(a, mix.weight)
  c = Conv(b, dw2.weight) {group=6}
  y = Conv(c, g.weight) {group=2}
}`);
  expect(asFlags(await fasterAdvice(pass, options, model), keysOf(pass.options))).toBe(text);
});
