import { expect, it } from "vitest";
import { parseModel } from "../graph/text.ts";
import { infer } from "./infer.ts";
import { peakBytes } from "./peak-bytes.ts";

/** Returns the peak in vectors of 4 bytes. */
function peakOf(body: string): number {
  const model = parseModel(`opset 21 graph (x: float32[4], flag: bool[]) -> (y: float32[4]) { ${body} }`);
  infer(model);
  // The flag takes one byte.
  return (peakBytes(model.graph) - 1) / 16;
}

it("frees a value after its last use, and keeps inputs and outputs", () => {
  expect(peakOf("y = Neg(x)")).toBe(2);
  expect(peakOf("a = Neg(x); b = Neg(a); c = Neg(b); y = Neg(c)")).toBe(3);
  expect(peakOf("a = Neg(x); b = Neg(a); c = Neg(b); y = Add(c, a)")).toBe(4);
});

it("counts weights as no values", () => {
  expect(peakOf("w: float32[4] = [1, 2, 3, 4]; y = Add(x, w)")).toBe(2);
});

it("adds the larger branch to the values around it, also if only a branch reads them", () => {
  const branches = (small: string): string =>
    `a = Neg(x); y = If (flag) {then_branch=graph () -> (t) { s = Neg(a); r = Neg(s); t = Neg(r) }, else_branch=graph () -> (e) { ${small} }}`;
  expect(peakOf(branches("e = Neg(a)"))).toBe(5);
  expect(peakOf(branches("e = Neg(x)"))).toBe(5);
});
