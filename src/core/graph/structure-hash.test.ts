import { describe, expect, test } from "vitest";
import { producer, value } from "../../../test/find.ts";
import { topologies } from "../../../test/zoo/topologies.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { type Graph, type Node, subgraphs, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { mask } from "./role.ts";
import { structureHash } from "./structure-hash.ts";
import { parseModel } from "./text.ts";

const source = `opset 21
graph (x: float32[batch, 2], flag: bool[]) -> (y) {
  w: float32[2] = ones
  v: float32[2] = ones
  h: float32[batch, 2] = Add "sum" (x, w)
  g = Clip(h, w, v)
  y = If(flag) {then_branch=graph () -> (t) {
    t = Constant() {value=float32[2] [1, 2]}
  }, else_branch=graph () -> (e) {
    e = LeakyRelu(g) {alpha=0.5}
  }}
}
`;

const branch = (model: Model, index: number): Graph => subgraphs(producer(model, "y"))[index] as Graph;

test.each(topologies)("structureHash of $name is constant without changes", ({ text }) => {
  const model = parseModel(text);
  expect(structureHash(model)).toBe(structureHash(model));
  expect(structureHash(model)).toMatch(/^[\da-f]{16}$/);
});

test("structureHash differs for equal contents in different tensors", () => {
  expect(structureHash(parseModel(source))).not.toBe(structureHash(parseModel(source)));
  const plain = "opset 21\ngraph (x: float32[2]) -> (y) {\n  y = Relu(x)\n}\n";
  expect(structureHash(parseModel(plain))).toBe(structureHash(parseModel(plain)));
});

describe("structureHash after a change", () => {
  test.each<[string, (model: Model) => unknown]>([
    ["another tensor with equal contents", (model) => (value(model, "w").tensor = inMemory(float32([2], [1, 1])))],
    [
      "a tensor in an attribute",
      (model) =>
        branch(model, 0).setAttribute((branch(model, 0).value("t") as Value).producer as Node, "value", {
          kind: "tensor",
          value: inMemory(float32([2], [1, 2])),
        }),
    ],
    [
      "two swapped tensors",
      (model) => {
        const [w, v] = [value(model, "w"), value(model, "v")];
        [w.tensor, v.tensor] = [v.tensor, w.tensor];
      },
    ],
    [
      "an attribute in a subgraph",
      (model) =>
        branch(model, 1).setAttribute((branch(model, 1).value("e") as Value).producer as Node, "alpha", {
          kind: "float",
          value: 0.25,
        }),
    ],
    ["an input", (model) => model.graph.setInput(producer(model, "g"), 1, undefined)],
    ["the order of inputs", (model) => model.graph.setInputs([...model.graph.inputs].reverse())],
    ["an output", (model) => model.graph.addOutput(value(model, "h"))],
    ["a node", (model) => model.graph.addNode({ op: "Relu", inputs: [value(model, "h")] })],
    ["a removed node", (model) => branch(model, 1).setOutputs([])],
    [
      "the order of nodes",
      (model) => {
        model.graph.addNode({ op: "Exp", inputs: [], outputs: ["p"] }, { before: producer(model, "h") });
      },
    ],
    ["a renamed value", (model) => model.graph.rename(value(model, "h"), "k")],
    ["a renamed node", (model) => (producer(model, "h").name = "other")],
    ["a renamed graph", (model) => (model.graph.name = "other")],
    ["a role", (model) => (value(model, "w").role = mask)],
    ["a type of an input", (model) => (value(model, "x").type = { type: "float32", dims: [3, 2] })],
    ["a declared type", (model) => (value(model, "h").type = { type: "float32", dims: [3, 2] })],
    ["a newly declared type", (model) => (value(model, "g").declared = true)],
    ["metadata of a value", (model) => (value(model, "h").metadata = new Map([["a", "b"]]))],
    ["metadata of a node", (model) => (producer(model, "h").metadata = new Map([["a", "b"]]))],
    ["metadata of a subgraph", (model) => (branch(model, 0).metadata = new Map([["a", "b"]]))],
    ["metadata of the model", (model) => model.header.metadata.set("a", "b")],
    ["documentation", (model) => (value(model, "h").doc = "text")],
    ["unknown fields", (model) => (producer(model, "h").unknown = Uint8Array.of(1))],
    ["a foreign type", (model) => (value(model, "g").foreign = { type: Uint8Array.of(1) })],
    ["an operator set", (model) => model.header.opsets.set("", 20)],
    ["the format version", (model) => (model.header.irVersion = 9)],
    ["a local function", (model) => (model.header.functions = [Uint8Array.of(1)])],
  ])("changes with %s", (_, change) => {
    const model = parseModel(source);
    const before = structureHash(model);
    change(model);
    expect(structureHash(model)).not.toBe(before);
  });
});

describe("structureHash after no change", () => {
  test.each<[string, (model: Model) => unknown]>([
    ["an inferred type", (model) => (value(model, "g").type = { type: "float32", dims: [1, 2] })],
    ["a request for a fresh name", (model) => model.graph.freshName("h")],
    [
      "an edit and its inverse",
      (model) => {
        const node = model.graph.addNode({ op: "Relu", inputs: [value(model, "h")] });
        model.graph.removeNode(node);
      },
    ],
    [
      "a rejected edit",
      (model) => {
        expect(() => model.graph.removeNode(producer(model, "h"))).toThrow();
      },
    ],
    ["a sort of sorted nodes", (model) => model.graph.sort()],
  ])("does not change with %s", (_, change) => {
    const model = parseModel(source);
    const before = structureHash(model);
    change(model);
    expect(structureHash(model)).toBe(before);
  });
});
