/** Models with operators that the runtime does not have: what needs no run is done, and the command says what was not compared. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

const folder = temporaryFolder();

/** Layers on both sides of an activation that nobody else knows. */
const convolutions = (operator: string, type: string): string => `(x: float32[n, 3, 8, 8]) -> (y: float32[n, 4]) {
  w1: float32[8, 3, 3, 3] = random(seed 1)
  w2: float32[8, 8, 3, 3] = random(seed 2)
  w3: float32[4, 8] = random(seed 3)
  b3: float32[4] = random(seed 4)
  a = Conv(x, w1)
  m${type} = ${operator}(a)
  c = Conv(m, w2)
  r = Relu(c)
  g = GlobalAveragePool(r)
  f = Flatten(g)
  y = Gemm(f, w3, b3) {transB=1}
}`;
const typed = ": float32[n, 8, 6, 6]";

test.each([
  ["of a custom domain", "opset 17, custom 1", "custom.MyAct", typed],
  ["without declared outputs", "opset 17, custom 1", "custom.MyAct", ""],
  ["of the default domain, in an old opset", "opset 10", "RequantShift", ""],
  ["of a domain that is not imported", "opset 17", "custom.MyAct", ""],
])(
  "quantizes and prunes around an operator %s, and compares the rest of the network",
  async (_, opsets, operator, type) => {
    const model = join(folder, "model.onnx");
    await save(parseModel(`${opsets}\ngraph ${convolutions(operator, type)}`), model);
    for (const words of [
      ["quantize", "--scheme", "weights"],
      ["quantize", "--scheme", "dynamic"],
      ["prune", "--amount", "0.1"],
    ]) {
      const out = join(folder, "out.onnx");
      const { code, out: text, err } = await pith(...words, model, "-o", out);
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(text).toContain("changed (3):");
      expect(text).toMatch(
        new RegExp(`on 32 random inputs.*; without ${operator.replace(".", "\\.")}, which this runtime`),
      );
      const written = await open(out);
      expect([...written.graph.nodes()].map(({ op }) => op)).toContain(operator.split(".").at(-1));
    }
  },
);

test("requires --force if an unknown operator has outputs of unknown rank", async () => {
  const model = join(folder, "products.onnx");
  await save(
    parseModel(`opset 17, custom 1
graph (x: float32[n, 8]) -> (y: float32[n, 4]) {
  w1: float32[8, 32] = random(seed 1)
  w2: float32[32, 4] = random(seed 2)
  a = MatMul(x, w1)
  m = custom.MyAct(a)
  r = Relu(m)
  y = MatMul(r, w2)
}`),
    model,
  );
  const out = join(folder, "products.out.onnx");
  for (const scheme of ["weights", "float16", "dynamic"]) {
    const rejected = await pith("quantize", "--scheme", scheme, model, "-o", join(folder, "no.onnx"));
    expect(rejected).toMatchObject({
      code: 1,
      err: expect.stringMatching(/has no custom\.MyAct.*\n.*--force writes it/),
    });
    expect(existsSync(join(folder, "no.onnx"))).toBe(false);
    const forced = await pith("quantize", "--scheme", scheme, model, "--force", "-o", out);
    expect(forced).toMatchObject({ code: 0, out: expect.stringContaining("changed (2):") });
    expect(forced.out).toContain("not compared with the original: this runtime has no custom.MyAct");
  }
});

test("requires --force without data if the original outputs NaN for all random inputs", async () => {
  const model = join(folder, "nan.onnx");
  const body = `  w: float32[4, 4] = random(seed 1)\n  fifty: float32[1] = [50]\n  a = MatMul(x, w)\n  b = Sub(a, fifty)`;
  await save(
    parseModel(`opset 17\ngraph (x: float32[n, 4]) -> (y: float32[n, 4]) {\n${body}\n  y = Sqrt(b)\n}`),
    model,
  );
  const words = ["prune", model, "--amount", "50%", "-o", join(folder, "nan.out.onnx")];
  expect(await pith(...words)).toMatchObject({
    code: 1,
    err: expect.stringMatching(
      /could not be compared with the original: its output is not a number.*\n.*--force writes/,
    ),
  });
  expect(await pith(...words, "--force")).toMatchObject({ code: 0, out: expect.stringContaining("not compared") });
});
