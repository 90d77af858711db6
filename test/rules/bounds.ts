import type { RuleExample } from "./example.ts";

const model = (lines: string, type = "float32") => `graph (x: ${type}[batch, 4]) -> (y) {
  low: ${type}[] = [-1]
  half: ${type}[] = [${type === "int64" ? 0 : -0.5}]
  zero: ${type}[1] = [0]
  one: ${type}[] = [1]
  six: ${type}[] = [6]
  vector: ${type}[4] = [0, 1, 2, 3]
  matrix: ${type}[1, 1, 1] = [1]
  high: ${type}[1, 1, 1] = [6]
  input = Identity(x)
${lines}
}`;

export const bounds: readonly RuleExample[] = [
  {
    rule: "limits",
    fires: {
      "two Clip that overlap": model("  h = Clip(x, low, one)\n  y = Clip(h, half, six)"),
      "two Clip that do not overlap": model("  h = Clip(x, low, half)\n  y = Clip(h, one, six)"),
      "Relu and Clip": model("  h = Relu(x)\n  y = Clip(h, low, six)"),
      "Clip and Relu": model("  h = Clip(x, low, one)\n  y = Relu(h)"),
      "Max and Min": model("  h = Max(zero, x)\n  y = Min(h, six)"),
      "Min and Max": model("  h = Min(x, one)\n  y = Max(h, low)"),
      "Relu and Min": model("  h = Relu(x)\n  y = Min(six, h)"),
      "two Max": model("  h = Max(x, low)\n  y = Max(h, half)"),
      "Clip with one bound": model("  h = Clip(x, low)\n  y = Clip(h, _, six)"),
      "a bound of -∞ that becomes the lowest number": `opset 21
graph (x: float32[batch, 4]) -> (y) {
  lowest: float32[] = -inf
  one: float32[] = [1]
  h = Min(x, lowest)
  y = Clip(h, _, one)
}`,
      "bounds as attributes": `opset 10\n${model("  h = Clip(x) {min=0.0}\n  y = Clip(h) {max=1.0}")}`,
      integers: model("  h = Max(x, low)\n  y = Min(h, six)", "int64"),
    },
    keeps: {
      "bounds in the wrong order": model("  h = Clip(x, one, low)\n  y = Clip(h, half, six)"),
      "a bound per element": model("  h = Max(x, vector)\n  y = Min(h, six)"),
      "a bound that adds an axis": model("  h = Max(x, matrix)\n  y = Min(h, six)"),
      "a bound that adds an axis, and an equal one that does not": model("  h = Min(x, high)\n  y = Clip(h, low, six)"),
      "a computed bound": model("  m = ReduceMax(x) {keepdims=0}\n  h = Clip(x, low, m)\n  y = Clip(h, low, one)"),
      "a value that another node reads": model("  h = Relu(x)\n  c = Clip(h, low, six)\n  y = Add(c, h)"),
      "three operands": model("  h = Max(x, low, half)\n  y = Min(h, six)"),
    },
    sizes: { batch: 3 },
  },
];
