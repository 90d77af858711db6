import { expect, test } from "vitest";
import type { Node } from "../../graph/graph.ts";
import { parseModel } from "../../graph/text.ts";
import { type PairRule, rulesOf } from "./rule.ts";

function rule(description: string, first: readonly string[], second: readonly string[], same?: true): PairRule {
  return {
    id: description,
    description,
    first,
    second,
    ...(same ? { requiresSameOperator: same } : {}),
    fuse: () => undefined,
  };
}

const rulesFor = rulesOf([
  rule("either", ["Relu", "Neg"], ["Relu", "Neg"]),
  rule("twice", ["Relu", "Neg"], ["Relu", "Neg"], true),
  rule("foreign", ["com.example.Relu"], ["Neg"]),
]);

function ruleNames(first: string, second: string): readonly string[] {
  const text = `opset 21, com.example 1\ngraph (x: float32[n]) -> (y) {\n  h = ${first}(x)\n  y = ${second}(h)\n}`;
  const [a, b] = [...parseModel(text).graph.nodes()] as [Node, Node];
  return rulesFor(a, b).map(({ description }) => description);
}

test("rulesOf finds rules by both operators, in the order of the rules", () => {
  expect(ruleNames("Relu", "Relu")).toEqual(["either", "twice"]);
  expect(ruleNames("com.example.Relu", "Neg")).toEqual(["foreign"]);
});

test("rulesOf finds no rule for the other order, unequal operators or another domain", () => {
  expect(ruleNames("Neg", "Relu")).toEqual(["either"]);
  expect(ruleNames("Neg", "com.example.Relu")).toEqual([]);
  expect(ruleNames("Relu", "Abs")).toEqual([]);
});
