import { expect, test } from "vitest";
import { patternMatcher } from "./pattern.ts";
import { straightThrough } from "./role.ts";
import { parseModel } from "./text.ts";

/** Matches x · (x + y) with straight-through rounding of the sum. */
const find = patternMatcher(["x", "y"], (emit, { x, y }) => {
  const rounded = emit.Round([emit.Add([x, y])]);
  rounded.role = straightThrough;
  return emit.Mul([x, rounded]);
});

function found(nodes: string): Readonly<Record<string, string>> | undefined {
  const { graph } = parseModel(`opset 13\ngraph (a: float32[2], b: float32[2]) -> (m: float32[2]) {\n${nodes}\n}`);
  const [output] = graph.outputs;
  const operands = output === undefined ? undefined : find(output);
  return operands === undefined ? undefined : { x: operands.x.name, y: operands.y.name };
}

test("pattern finds matching nodes and their operands", () => {
  expect(found("s = Add(a, b)\nr: straight-through = Round(s)\nm = Mul(a, r)")).toEqual({ x: "a", y: "b" });
});

test("pattern matches computed operands and one value for two operands", () => {
  expect(found("n = Neg(a)\ns = Add(n, n)\nr: straight-through = Round(s)\nm = Mul(n, r)")).toEqual({ x: "n", y: "n" });
});

test.each([
  ["another operator", "s = Sub(a, b)\nr: straight-through = Round(s)\nm = Mul(a, r)"],
  ["another order", "s = Add(a, b)\nr: straight-through = Round(s)\nm = Mul(r, a)"],
  ["two values for one operand", "s = Add(b, a)\nr: straight-through = Round(s)\nm = Mul(a, r)"],
  ["no role", "s = Add(a, b)\nr = Round(s)\nm = Mul(a, r)"],
  ["another operator in between", "s = Add(a, b)\nr: straight-through = Floor(s)\nm = Mul(a, r)"],
  ["no nodes", "m = Identity(a)"],
  ["an attribute", "s = Add(a, b) {axis=1}\nr: straight-through = Round(s)\nm = Mul(a, r)"],
])("pattern does not match %s", (_, nodes) => {
  expect(found(nodes)).toBeUndefined();
});
