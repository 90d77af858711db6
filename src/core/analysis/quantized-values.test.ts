import { describe, expect, it } from "vitest";
import { fuseAffine, fuseBatchNorm } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { fuseNodes } from "../../rewrite/clean-up/fuse-nodes.ts";
import { parseModel } from "../graph/text.ts";
import { infer } from "./infer.ts";
import { createRoundingTest, hasQuantizedActivations } from "./quantized-values.ts";

const codes = "s: float32[] = 0.02\n  z: uint8[] = 100";

function model(body: string) {
  return parseModel(`opset 21\ngraph (x: float32[n, 4]) -> (y) {\n  ${body}\n}`);
}

/** Whether each node leads to quantized values, by the name of its output. */
function leading(body: string): Readonly<Record<string, boolean>> {
  const parsed = model(body);
  const leads = createRoundingTest(parsed, infer(parsed));
  return Object.fromEntries([...parsed.graph.nodes()].map((node) => [node.outputs[0]?.name ?? "", leads(node)]));
}

describe("createIsQuantizedLater", () => {
  it("is true for all nodes before a QuantizeLinear, and false after the last one", () => {
    const body = `${codes}\n  a = Relu(x)\n  q = QuantizeLinear(a, s, z)\n  b = DequantizeLinear(q, s, z)\n  y = Exp(b)`;
    expect(leading(body)).toEqual({ a: true, q: false, b: false, y: false });
  });

  it("follows values out of a branch and into a branch", () => {
    const handed = `${codes}\n  t: bool[] = true\n  a = If(t) {then_branch=graph yes () -> (i) {\n    i = Exp(x)\n  }, else_branch=graph no () -> (j) {\n    j = Neg(x)\n  }}\n  y = QuantizeLinear(a, s, z)`;
    const parsed = model(handed);
    const leads = createRoundingTest(parsed, infer(parsed));
    const inner = [...parsed.graph.nodes()][0]?.attributes.get("then_branch");
    if (inner?.kind !== "graph") throw new Error("no branch");
    expect([...inner.value.nodes()].map(leads)).toEqual([true]);
    const read = `${codes}\n  t: bool[] = true\n  a = Exp(x)\n  y = If(t) {then_branch=graph yes () -> (i) {\n    i = QuantizeLinear(a, s, z)\n  }, else_branch=graph no () -> (j) {\n    j = QuantizeLinear(a, s, z)\n  }}`;
    expect(leading(read)).toEqual({ a: true, y: false });
  });

  it.each([
    ["floats alone", "y = Relu(x)", false],
    [
      "weights stored as quantized values",
      "w: int8[4, 4] = ones\n  s: float32[] = 0.5\n  v = DequantizeLinear(w, s)\n  y = MatMul(x, v)",
      false,
    ],
    ["a shape", "y = Shape(x)", false],
    ["float16 values", "y = Cast(x) {to=10}", false],
    ["scales computed at run time", "y, s, z = DynamicQuantizeLinear(x)", true],
    ["a Cast to uint8", "y = Cast(x) {to=2}", true],
  ])("reports whether a model quantizes activations: %s", (_, body, rounds) => {
    const parsed = model(body);
    expect(hasQuantizedActivations(parsed, infer(parsed))).toBe(rounds);
  });
});

const normalized = `w: float32[4, 4] = random(seed 1)
  scale: float32[4] = random(seed 2)
  shift: float32[4] = random(seed 3)
  mean: float32[4] = random(seed 4)
  variance: float32[4] = ones
  h = Gemm(x, w)
  n = BatchNormalization(h, scale, shift, mean, variance)`;

describe("rewrites that change the order of summation", () => {
  it("skips nodes before a quantization and gives the reason", async () => {
    const parsed = model(`${codes}\n  ${normalized}\n  y = QuantizeLinear(n, s, z)`);
    const { changes, misses } = await fuseAffine(parsed);
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("quantized later")]);
    const product = model(
      `${codes}\n  w: float32[4, 4] = random(seed 1)\n  b: float32[4] = random(seed 2)\n  h = MatMul(x, w)\n  a = Add(h, b)\n  y = QuantizeLinear(a, s, z)`,
    );
    expect((await fuseNodes(product)).changes).toEqual([]);
  });

  it.each(["Round(n)", "Floor(n)", "Ceil(n)"])("skips nodes before an elementwise %s", async (step) => {
    for (const lines of [`y = ${step}`, `r = Relu(n)\n  d = Mul(r, scale)\n  y = ${step.replace("n)", "d)")}`]) {
      const { changes, misses } = await fuseAffine(model(`${normalized}\n  ${lines}`));
      expect(changes).toEqual([]);
      expect(misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("quantized later")]);
    }
  });

  it.each([
    ["sizes", "k = Shape(n)\n  f = Cast(k) {to=1}\n  y = Floor(f)"],
    ["a later matrix product", "u: float32[4, 4] = random(seed 5)\n  v = MatMul(n, u)\n  y = Round(v)"],
    ["another value", "f = Floor(x)\n  y = Add(n, f)"],
  ])("folds a batch normalization if the rounding applies to %s", async (_, lines) => {
    const { changes } = await fuseAffine(model(`${normalized}\n  ${lines}`));
    expect(changes.map(({ what }) => what)).toContain("batch normalization merged into the weights of the layer");
  });

  it("folds before a quantization if the pass is called by name", async () => {
    const parsed = model(`${codes}\n  ${normalized}\n  y = QuantizeLinear(n, s, z)`);
    expect((await fuseBatchNorm(parsed)).changes).toHaveLength(1);
  });

  it("folds after the last quantization, and applies exact rewrites before it", async () => {
    const after = model(
      `${codes}\n  q = QuantizeLinear(x, s, z)\n  d = DequantizeLinear(q, s, z)\n  ${normalized.replace("Gemm(x", "Gemm(d")}\n  y = Relu(n)`,
    );
    expect((await fuseAffine(after)).changes).toHaveLength(1);
    const before = model(
      `${codes}\n  a = Transpose(x) {perm=[1, 0]}\n  b = Transpose(a) {perm=[1, 0]}\n  y = QuantizeLinear(b, s, z)`,
    );
    expect((await fuseNodes(before)).changes).toHaveLength(1);
  });
});
