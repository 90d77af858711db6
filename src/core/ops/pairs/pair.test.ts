import { expect, test } from "vitest";
import type { Node } from "../../graph/graph.ts";
import { parseModel } from "../../graph/text.ts";
import { type Pair, rulesOf } from "./pair.ts";

function rule(what: string, first: readonly string[], second: readonly string[], same?: true): Pair {
  return { what, first, second, ...(same ? { same } : {}), fuse: () => undefined };
}

const rulesFor = rulesOf([
  rule("either", ["Relu", "Neg"], ["Relu", "Neg"]),
  rule("twice", ["Relu", "Neg"], ["Relu", "Neg"], true),
  rule("foreign", ["com.example.Relu"], ["Neg"]),
]);

function found(first: string, second: string): readonly string[] {
  const text = `opset 21, com.example 1\ngraph (x: float32[n]) -> (y) {\n  h = ${first}(x)\n  y = ${second}(h)\n}`;
  const [a, b] = [...parseModel(text).graph.nodes()] as [Node, Node];
  return rulesFor(a, b).map(({ what }) => what);
}

test("rules are found by both operators, in their order", () => {
  expect(found("Relu", "Relu")).toEqual(["either", "twice"]);
  expect(found("com.example.Relu", "Neg")).toEqual(["foreign"]);
});

test("none is found for one operator twice where two are there, in the other order, or for a namesake of another domain", () => {
  expect(found("Neg", "Relu")).toEqual(["either"]);
  expect(found("Neg", "com.example.Relu")).toEqual([]);
  expect(found("Relu", "Abs")).toEqual([]);
});
