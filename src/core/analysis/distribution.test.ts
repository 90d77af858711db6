import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { distributionOf } from "./distribution.ts";
import { infer } from "./infer.ts";

function formOf(body: string, out = "y", shape = "N, 4"): string | undefined {
  const model = parseModel(`opset 17
graph (x: float32[${shape}]) -> (${out}) {
${body}
}`);
  const value = model.graph.value(out);
  if (value === undefined) throw new Error(`there is no ${out}`);
  return distributionOf(value, infer(model));
}

describe("distributionOf", () => {
  test("finds probabilities after a softmax through moves, renames and rounding", () => {
    expect(formOf("  y = Softmax(x)")).toBe("probabilities");
    expect(formOf("  p = Softmax(x)\n  y = Identity(p)")).toBe("probabilities");
    expect(formOf("  p = Softmax(x)\n  f = Flatten(p)\n  y = Cast(f) {to=10}")).toBe("probabilities");
    expect(
      formOf(`  s: float32[] = 0.00390625
  z: uint8[] = 0
  p = Softmax(x)
  q = QuantizeLinear(p, s, z)
  y = DequantizeLinear(q, s, z)`),
    ).toBe("probabilities");
  });

  test("finds log probabilities after a log-softmax", () => {
    expect(formOf("  p = LogSoftmax(x)\n  y = Identity(p)")).toBe("logarithms");
  });

  test("finds no distribution after other operators or without normalization", () => {
    expect(formOf("  y = Identity(x)")).toBeUndefined();
    expect(formOf("  y = Sigmoid(x)")).toBeUndefined();
    expect(formOf("  c: float32[] = 3\n  p = Softmax(x)\n  y = Mul(p, c)")).toBeUndefined();
    expect(formOf("  p = Softmax(x)\n  y = Relu(p)")).toBeUndefined();
  });

  test("finds no distribution if an axis other than the classes is normalized", () => {
    expect(formOf("  y = Softmax(x) {axis=1}", "y", "N, 5, 7, 9")).toBe("probabilities");
    expect(formOf("  y = Softmax(x) {axis=2}", "y", "N, 5, 7, 9")).toBeUndefined();
  });
});
