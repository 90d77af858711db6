import { describe, expect, it } from "vitest";
import { parseModel } from "../graph/text.ts";
import { dimText } from "../tensor/dims.ts";
import { cost } from "./cost.ts";
import { infer } from "./infer.ts";

/** Multiply-accumulates of a model, or the reason why they are unknown. */
function macsOf(nodes: string): string {
  const net = parseModel(`opset 21
graph (x: float32[batch, 3], flag: bool[], n: int64[]) -> (y) {
  w: float32[3, 3] = ones
${nodes}
}`);
  const { macs, misses } = cost(net, infer(net));
  return misses[0]?.reason ?? (macs === undefined ? "unknown" : dimText(macs));
}

const product = "graph () -> (a) { a = MatMul(x, w) }";
const twice = "graph () -> (b) { c = MatMul(x, w)\n b = MatMul(c, w) }";
const body = "graph (i: int64[], go: bool[], s: float32[batch, 3]) -> (on, t) { on = Identity(go)\n t = MatMul(s, w) }";

describe("the cost of subgraphs", () => {
  it("counts the branch taken, or the more expensive branch", () => {
    expect(macsOf(`  y = If (flag) {then_branch=${product}, else_branch=${twice}}`)).toBe("18*batch");
    expect(macsOf(`  c: bool[] = [1]\n  y = If (c) {then_branch=${product}, else_branch=${twice}}`)).toBe("9*batch");
  });

  it("counts all iterations of a loop if their number is known", () => {
    expect(macsOf(`  k: int64[] = [4]\n  y = Loop (k, flag, x) {body=${body}}`)).toBe("36*batch");
    expect(macsOf(`  y = Loop (n, flag, x) {body=${body}}`)).toBe(
      "the number of iterations is not known before the run",
    );
  });

  it("counts every position that a Scan visits", () => {
    const scan =
      "graph (s: float32[3], p: float32[3]) -> (t, o) { q = Add(s, p)\n r: int64[2] = [1, 3]\n m = Reshape(q, r)\n k = MatMul(m, w)\n l: int64[1] = [3]\n t = Reshape(k, l)\n o = Identity(t) }";
    expect(macsOf(`  z: float32[3] = zeros\n  y, all = Scan (z, x) {num_scan_inputs=1, body=${scan}}`)).toBe("9*batch");
  });

  it("is unknown if the subgraph contains an unsupported node", () => {
    expect(
      macsOf(
        "  y = If (flag) {then_branch=graph () -> (a) { a = my.Thing(x) }, else_branch=graph () -> (b) { b = Relu(x) }}",
      ),
    ).toContain("Pith does not know this operator");
  });
});
