import { describe, expect, test } from "vitest";
import { producer, value } from "../../../test/find.ts";
import { topologies } from "../../../test/zoo/topologies.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { type Graph, type Node, subgraphs, type Value } from "./graph.ts";
import { structureHash } from "./hash.ts";
import type { Model } from "./model.ts";
import { mask } from "./role.ts";
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

test.each(topologies)("$name keeps its hash as long as nothing changes", ({ text }) => {
  const model = parseModel(text);
  expect(structureHash(model)).toBe(structureHash(model));
  expect(structureHash(model)).toMatch(/^[\da-f]{16}$/);
});

test("equal contents in other tensors are another model", () => {
  expect(structureHash(parseModel(source))).not.toBe(structureHash(parseModel(source)));
  const plain = "opset 21\ngraph (x: float32[2]) -> (y) {\n  y = Relu(x)\n}\n";
  expect(structureHash(parseModel(plain))).toBe(structureHash(parseModel(plain)));
});

describe("the hash changes with", () => {
  test.each<[string, (model: Model) => unknown]>([
    [
      "a tensor that is another one, with equal contents",
      (model) => (value(model, "w").tensor = inMemory(float32([2], [1, 1]))),
    ],
    [
      "a tensor in an attribute",
      (model) =>
        branch(model, 0).setAttribute((branch(model, 0).value("t") as Value).producer as Node, "value", {
          kind: "tensor",
          value: inMemory(float32([2], [1, 2])),
        }),
    ],
    [
      "two tensors that change places",
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
    ["a name of a value", (model) => model.graph.rename(value(model, "h"), "k")],
    ["a name of a node", (model) => (producer(model, "h").name = "other")],
    ["a name of the graph", (model) => (model.graph.name = "other")],
    ["a role", (model) => (value(model, "w").role = mask)],
    ["a type of an input", (model) => (value(model, "x").type = { type: "float32", dims: [3, 2] })],
    ["a declared type", (model) => (value(model, "h").type = { type: "float32", dims: [3, 2] })],
    ["a type that is declared", (model) => (value(model, "g").declared = true)],
    ["metadata of a value", (model) => (value(model, "h").metadata = new Map([["a", "b"]]))],
    ["metadata of a node", (model) => (producer(model, "h").metadata = new Map([["a", "b"]]))],
    ["metadata of a subgraph", (model) => (branch(model, 0).metadata = new Map([["a", "b"]]))],
    ["metadata of the model", (model) => model.header.metadata.set("a", "b")],
    ["documentation", (model) => (value(model, "h").doc = "text")],
    ["unknown fields", (model) => (producer(model, "h").unknown = Uint8Array.of(1))],
    ["a foreign type", (model) => (value(model, "g").foreign = { type: Uint8Array.of(1) })],
    ["an operator set", (model) => model.header.opsets.set("", 20)],
    ["the version of the format", (model) => (model.header.irVersion = 9)],
    ["a local function", (model) => (model.header.functions = [Uint8Array.of(1)])],
  ])("%s", (_, change) => {
    const model = parseModel(source);
    const before = structureHash(model);
    change(model);
    expect(structureHash(model)).not.toBe(before);
  });
});

describe("the hash does not change with", () => {
  test.each<[string, (model: Model) => unknown]>([
    ["a type that is inferred", (model) => (value(model, "g").type = { type: "float32", dims: [1, 2] })],
    ["a name that is asked for", (model) => model.graph.freshName("h")],
    [
      "an edit and its inverse",
      (model) => {
        const node = model.graph.addNode({ op: "Relu", inputs: [value(model, "h")] });
        model.graph.removeNode(node);
      },
    ],
    [
      "an attempt that is refused",
      (model) => {
        expect(() => model.graph.removeNode(producer(model, "h"))).toThrow();
      },
    ],
    ["an order of nodes that was right already", (model) => model.graph.sort()],
  ])("%s", (_, change) => {
    const model = parseModel(source);
    const before = structureHash(model);
    change(model);
    expect(structureHash(model)).toBe(before);
  });
});
