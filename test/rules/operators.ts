import type { RuleExample } from "./example.ts";

const choice = (lines: string, outputs = "y") => `graph (x: float32[batch, 4], c: bool[batch, 4]) -> (${outputs}) {
  zero: float32[] = [0]
  n = Not(c)
${lines}
}`;

const codes = (lines: string, type = "uint8") => `graph (x: float32[batch, 3, 4]) -> (y) {
  scale: float32[] = [0.02]
  copy: float32[] = [0.02]
  other: float32[] = [0.03]
  huge: float32[] = [1e38]
  zero: ${type}[] = [7]
  one: ${type}[] = [1]
  scales: float32[3] = [0.02, 0.03, 0.05]
  zeros: ${type}[3] = [1, 2, 3]
${lines}
}`;

export const operators: readonly RuleExample[] = [
  {
    rule: "negated-condition",
    fires: {
      "one reader": choice("  y = Where(n, x, zero)"),
      "two readers": choice("  a = Where(n, x, zero)\n  b = Where(n, zero, x)\n  y = Sub(a, b)"),
    },
    keeps: {
      "another reader of the negation": choice("  a = Where(n, x, zero)\n  f = CastLike(n, x)\n  y = Add(a, f)"),
      "a negation that is an output": choice("  y = Where(n, x, zero)", "y, n"),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "requantized",
    fires: {
      "one scale": codes(
        "  q = QuantizeLinear(x, scale, zero)\n  d = DequantizeLinear(q, scale, zero)\n  r = QuantizeLinear(d, copy, zero)\n  y = DequantizeLinear(r, scale, zero)",
      ),
      "a scale per channel": codes(
        "  q = QuantizeLinear(x, scales, zeros) {axis=1}\n  d = DequantizeLinear(q, scales, zeros) {axis=1}\n  r = QuantizeLinear(d, scales, zeros) {axis=1}\n  y = DequantizeLinear(r, scales, zeros) {axis=1}",
        "int8",
      ),
    },
    keeps: {
      "another scale": codes(
        "  q = QuantizeLinear(x, scale, zero)\n  d = DequantizeLinear(q, scale, zero)\n  r = QuantizeLinear(d, other, zero)\n  y = DequantizeLinear(r, scale, zero)",
      ),
      "another zero point": codes(
        "  q = QuantizeLinear(x, scale, zero)\n  d = DequantizeLinear(q, scale, zero)\n  r = QuantizeLinear(d, scale, one)\n  y = DequantizeLinear(r, scale, zero)",
      ),
      "no zero point in one of the two": codes(
        "  q = QuantizeLinear(x, scale, zero)\n  d = DequantizeLinear(q, scale, zero)\n  r = QuantizeLinear(d, scale)\n  y = DequantizeLinear(r, scale)",
      ),
      "a scale that overflows": codes(
        "  q = QuantizeLinear(x, huge, zero)\n  d = DequantizeLinear(q, huge, zero)\n  r = QuantizeLinear(d, huge, zero)\n  y = DequantizeLinear(r, huge, zero)",
      ),
      "another axis": `graph (x: float32[batch, 3, 3]) -> (y) {
  scales: float32[3] = [0.02, 0.03, 0.05]
  q = QuantizeLinear(x, scales) {axis=1}
  d = DequantizeLinear(q, scales) {axis=1}
  r = QuantizeLinear(d, scales) {axis=2}
  y = DequantizeLinear(r, scales) {axis=2}
}`,
    },
    sizes: { batch: 3 },
  },
];
