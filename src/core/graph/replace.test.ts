import { describe, expect, test } from "vitest";
import { producer, value } from "../../../test/find.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { dimsText } from "../tensor/dims.ts";
import { emitInto } from "./emit.ts";
import { subgraphs, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { replaceNode, replaceUses } from "./replace.ts";
import { parseModel, printModel, printNode } from "./text.ts";
import { verify } from "./verify.ts";

const chain = "opset 21\ngraph (x: float32[2]) -> (y) {\n  a = Relu(x)\n  b = Neg(a)\n  c = Exp(b)\n  y = Tanh(c)\n}\n";

describe("replaceUses", () => {
  test("updates all consumers except the excluded node", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2]) -> (y) {\n  a = Relu(x)\n  b = Neg(a)\n  y = Add(a, b)\n}\n",
    );
    const a = value(graph, "a");
    const scaled = graph.addNode({ op: "Abs", inputs: [a], outputs: ["scaled"] }, { after: producer(graph, "a") });
    replaceUses(a, scaled.outputs[0] as Value, scaled);
    expect([...a.uses].map((use) => use.node.op)).toEqual(["Abs"]);
    expect(producer(graph, "y").inputs.map((input) => input?.name)).toEqual(["scaled", "b"]);
    expect(producer(graph, "b").inputs.map((input) => input?.name)).toEqual(["scaled"]);
  });

  test("keeps the name of an output", () => {
    const model = parseModel(chain);
    const { graph } = model;
    const y = value(graph, "y");
    const node = graph.addNode({ op: "Abs", inputs: [y], outputs: ["new"] });
    replaceUses(y, node.outputs[0] as Value, node);
    expect(graph.outputs.map(({ name }) => name)).toEqual(["y"]);
    expect(graph.outputs[0]?.producer?.op).toBe("Abs");
    expect(node.inputs[0]?.name).toBe("y_replaced");
    expect(graph.value("new")).toBeUndefined();
    expect(verify(model)).toEqual([]);
  });

  test("keeps the declared type of an output, with named dimensions", () => {
    const model = parseModel(`opset 21
graph (x: float32[a, 4], z: float32[b, 4]) -> (y: float32[batch, 4]) {
  h = Add(x, z)
  y = Identity(h)
}`);
    const { graph } = model;
    const [output, replacement] = [graph.value("y"), graph.value("h")];
    if (output === undefined || replacement === undefined) throw new Error("the model has no such values");
    replaceUses(output, replacement);
    expect(graph.outputs.map(({ name, type }) => `${name} ${dimsText(type?.dims)}`)).toEqual(["y [batch, 4]"]);
  });

  test("updates consumers in subgraphs", () => {
    const model = parseModel(`opset 21
graph (x: float32[2], flag: bool[]) -> (y) {
  a = Relu(x)
  y = If(flag) {then_branch=graph () -> (t) { t = Neg(a) }, else_branch=graph () -> (e) { e = Exp(a) }}
}
`);
    const { graph } = model;
    replaceUses(value(graph, "a"), value(graph, "x"));
    graph.removeNode(producer(graph, "a"));
    expect([...value(graph, "x").uses].map((use) => use.node.op)).toEqual(["Neg", "Exp"]);
    expect(verify(model)).toEqual([]);
  });

  test.each([
    ["an input", "a = Relu(x)", "a", "x"],
    ["a parameter", "w: float32[2] parameter = ones\n  a = Relu(x)", "a", "w"],
    ["another output", "a = Relu(x)\n  b = Relu(x)", "b", "a"],
  ])("copies %s to the output and keeps its name", (_, lines, output, replacement) => {
    const outputs = output === "a" ? "a" : "a, b";
    const model = parseModel(`opset 21\ngraph (x: float32[2]) -> (${outputs}) {\n  ${lines}\n}\n`);
    const { graph } = model;
    const node = producer(graph, output);
    const seen: string[] = [];
    for (const current of graph.nodes()) {
      seen.push(current.op);
      if (current !== node) continue;
      replaceUses(value(graph, output), value(graph, replacement));
      graph.removeNode(node);
    }
    expect(seen).not.toContain("Identity");
    expect(graph.outputs.map(({ name }) => name).join(", ")).toBe(outputs);
    expect(producer(graph, output).op).toBe("Identity");
    expect(producer(graph, output).inputs[0]).toBe(value(graph, replacement));
    expect(verify(model)).toEqual([]);
  });

  test("copies an outer value to a subgraph's output", () => {
    const model = parseModel(`opset 21
graph (x: float32[2], flag: bool[]) -> (y) {
  y = If(flag) {then_branch=graph () -> (t) { t = Dropout(x) }, else_branch=graph () -> (e) { e = Exp(x) }}
}
`);
    const [inner] = subgraphs(producer(model.graph, "y"));
    if (inner === undefined) throw new Error("no subgraph");
    const node = producer(inner, "t");
    replaceUses(value(inner, "t"), value(inner, "x"));
    inner.removeNode(node);
    expect([...inner.nodes()].map(({ op }) => op)).toEqual(["Identity"]);
    expect(verify(model)).toEqual([]);
  });

  test("gives a folded constant the name of the output that it replaces", () => {
    const { graph } = parseModel(chain);
    replaceUses(value(graph, "y"), graph.addTensor("folded", inMemory(float32([2], [1, 2]))));
    expect(graph.outputs[0]?.tensor?.dims).toEqual([2]);
    expect(graph.outputs[0]?.name).toBe("y");
  });

  test("rejects a value that a consumer cannot see, and changes nothing", () => {
    const model = parseModel(chain);
    const before = printModel(model);
    const foreign = value(parseModel(chain).graph, "a");
    expect(() => replaceUses(value(model.graph, "a"), foreign)).toThrow(expect.objectContaining({ code: "E_MODEL" }));
    expect(() => replaceUses(value(model.graph, "y"), foreign)).toThrow(expect.objectContaining({ code: "E_MODEL" }));
    expect(printModel(model)).toBe(before);
  });

  test("changes nothing if a value replaces itself", () => {
    const model = parseModel(chain);
    const before = printModel(model);
    replaceUses(value(model.graph, "y"), value(model.graph, "y"));
    expect(printModel(model)).toBe(before);
  });
});

/** Replaces `TopK` by two arbitrary nodes: the tests check only which node reads which value. */
function replaced(outputs: string): Model {
  const model = parseModel(`opset 18
graph (x: float32[4], k: int64[1]) -> (${outputs}) {
  v, i = TopK(x, k)
}`);
  const [node] = model.graph.nodes();
  if (node === undefined) throw new Error("the model has no node");
  const [x, k] = node.inputs;
  const emit = emitInto(model, { before: node });
  replaceNode(node, [emit.Neg([x]), emit.Abs([k])]);
  expect(verify(model)).toEqual([]);
  return model;
}

const printed = (model: Model): readonly string[] => Array.from(model.graph.nodes(), printNode);

describe("replaceNode", () => {
  test("replaces every output under its name and declared type", () => {
    const model = replaced("v: float32[3], i: int64[3]");
    expect(model.graph.outputs.map(({ name, stated }) => [name, stated?.dims])).toEqual([
      ["v", [3]],
      ["i", [3]],
    ]);
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["Neg", "Abs"]);
  });

  test.each(["v: float32[4]", "i: int64[4]"])("ignores outputs without readers: %s is read", (output) => {
    const model = replaced(output);
    expect(printed(model).some((line) => line.includes("TopK"))).toBe(false);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual([output.slice(0, 1)]);
  });

  test("rejects an output that is used but has no replacement", () => {
    const model = parseModel(`opset 18
graph (x: float32[4], k: int64[1]) -> (v: float32[4], i: int64[4]) {
  v, i = TopK(x, k)
}`);
    const [node] = model.graph.nodes();
    if (node === undefined) throw new Error("the model has no node");
    expect(() => replaceNode(node, [emitInto(model, { before: node }).Neg([node.inputs[0]])])).toThrow(
      expect.objectContaining({ code: "E_MODEL" }),
    );
  });
});
