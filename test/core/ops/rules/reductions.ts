import type { RuleExample } from "./example.ts";

const nodes = (lines: string, input = "x: float32[batch, 6, 8]", opset = 21) => `opset ${opset}
graph (${input}) -> (y) {
${opset < 13 ? "" : "  first: int64[1] = [0]\n  one: int64[1] = [1]\n  last: int64[1] = [-1]\n  both: int64[2] = [1, 2]"}
${lines}
}`;

export const reductions: readonly RuleExample[] = [
  {
    rule: "kept-axes",
    fires: {
      "a Squeeze of all reduced axes": nodes("  r = ReduceMean(x, both)\n  y = Squeeze(r, both)"),
      "an Unsqueeze that restores the axis": nodes("  r = ReduceMax(x, last) {keepdims=0}\n  y = Unsqueeze(r, last)"),
      "axes as attributes": nodes(
        "  r = ReduceL2(x) {axes=[-1], keepdims=0}\n  y = Unsqueeze(r) {axes=[2]}",
        "x: float32[batch, 6, 8]",
        11,
      ),
    },
    keeps: {
      "a Squeeze of some reduced axes": nodes("  r = ReduceMean(x, both)\n  y = Squeeze(r, one)"),
      "an Unsqueeze of another axis": nodes("  r = ReduceMax(x, last) {keepdims=0}\n  y = Unsqueeze(r, one)"),
      "another reader": nodes(
        "  r = ReduceSum(x, last) {keepdims=0}\n  u = Unsqueeze(r, last)\n  m = ReduceMax(r) {keepdims=0}\n  y = Mul(u, m)",
      ),
      "an Unsqueeze of more axes": nodes("  r = ReduceMax(x, one) {keepdims=0}\n  y = Unsqueeze(r, both)"),
    },
    sizes: { batch: 3 },
  },
  {
    rule: "reduced-twice",
    fires: {
      "means that keep their axes": nodes("  r = ReduceMean(x, last)\n  y = ReduceMean(r, one)"),
      "sums that drop their axes": nodes("  r = ReduceSum(x, one) {keepdims=0}\n  y = ReduceSum(r, one) {keepdims=0}"),
      "maxima along attributes": nodes(
        "  r = ReduceMax(x) {axes=[0], keepdims=0}\n  y = ReduceMax(r) {axes=[-1], keepdims=0}",
        "x: float32[batch, 6, 8]",
        11,
      ),
    },
    keeps: {
      "a mean of rounded means": nodes("  r = ReduceMean(x, last)\n  y = ReduceMean(r, one)", "x: int32[batch, 6, 8]"),
      "different operators": nodes("  r = ReduceMax(x, last)\n  y = ReduceMin(r, one)"),
      "only one of the two keeps its axes": nodes("  r = ReduceMax(x, last)\n  y = ReduceMax(r, one) {keepdims=0}"),
      "a norm of norms": nodes("  r = ReduceL2(x, last)\n  y = ReduceL2(r, one)"),
      "another reader": nodes(
        "  r = ReduceMax(x, last) {keepdims=0}\n  q = ReduceMax(r, last) {keepdims=0}\n  s = Transpose(r)\n  y = Add(s, q)",
      ),
    },
    sizes: { batch: 3 },
    tolerance: 1e-5,
  },
];
