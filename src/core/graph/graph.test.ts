import { describe, expect, test } from "vitest";
import { producer, value } from "../../../test/find.ts";
import fc from "../../../test/property.ts";
import { PithError } from "../errors.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { allGraphs, Graph, type Node, nodeText, subgraphs, usedValues, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { replaceUses } from "./replace.ts";
import { buffer, parameter } from "./role.ts";
import { parseModel, printModel } from "./text.ts";
import { verify } from "./verify.ts";

const chain = "opset 21\ngraph (x: float32[2]) -> (y) {\n  a = Relu(x)\n  b = Neg(a)\n  c = Exp(b)\n  y = Tanh(c)\n}\n";

const operators = (graph: Graph): string[] => [...graph.nodes()].map((node) => node.op);

function codeOf(edit: () => unknown): string {
  try {
    edit();
  } catch (error) {
    if (error instanceof PithError) return error.code;
    throw error;
  }
  return "none";
}

/** Asserts that a failed edit leaves the model unchanged. */
function refused(model: Model, edit: () => unknown): string {
  const before = printModel(model);
  const code = codeOf(edit);
  expect(printModel(model)).toBe(before);
  expect(verify(model)).toEqual([]);
  return code;
}

describe("nodes() during edits", () => {
  const visit = (edit: (graph: Graph, node: Node) => void, backwards = false): string[] => {
    const { graph } = parseModel(chain);
    const seen: string[] = [];
    for (const node of backwards ? graph.nodesBackwards() : graph.nodes()) {
      seen.push(node.op);
      edit(graph, node);
    }
    return seen;
  };
  const bridge = (graph: Graph, node: Node): void => {
    const [input] = node.inputs;
    const [output] = node.outputs;
    if (input !== undefined && output !== undefined) replaceUses(output, input);
    graph.removeNode(node);
  };

  test("visits a node inserted after the current one", () => {
    const seen = visit((graph, node) => {
      if (node.op === "Neg") graph.addNode({ op: "Abs", inputs: node.outputs }, { after: node });
    });
    expect(seen).toEqual(["Relu", "Neg", "Abs", "Exp", "Tanh"]);
  });

  test("does not visit a node inserted before the current one", () => {
    const seen = visit((graph, node) => {
      if (node.op === "Neg") graph.addNode({ op: "Abs", inputs: node.inputs }, { before: node });
    });
    expect(seen).toEqual(["Relu", "Neg", "Exp", "Tanh"]);
  });

  test("visits a node added at the end", () => {
    const seen = visit((graph, node) => {
      if (node.op === "Tanh") graph.addNode({ op: "Abs", inputs: node.outputs });
    });
    expect(seen).toEqual(["Relu", "Neg", "Exp", "Tanh", "Abs"]);
  });

  test("continues after removal of the current node", () => {
    expect(visit((graph, node) => node.op === "Neg" && bridge(graph, node))).toEqual(["Relu", "Neg", "Exp", "Tanh"]);
  });

  test("does not visit a removed node", () => {
    const seen = visit((graph, node) => {
      if (node.op === "Relu") bridge(graph, producer(graph, "b"));
    });
    expect(seen).toEqual(["Relu", "Exp", "Tanh"]);
  });

  test("continues after removal of the current node and the next ones", () => {
    const seen = visit((graph, node) => {
      if (node.op !== "Relu") return;
      const next = [producer(graph, "b"), producer(graph, "c")];
      for (const removed of [node, ...next]) bridge(graph, removed);
    });
    expect(seen).toEqual(["Relu", "Tanh"]);
  });

  test("does not visit a node that replaces the removed current node", () => {
    const place = (where: "before" | "after") =>
      visit((graph, node) => {
        if (node.op !== "Neg") return;
        const neighbor = where === "before" ? producer(graph, "c") : producer(graph, "a");
        bridge(graph, node);
        graph.addNode(
          { op: "Abs", inputs: graph.inputs },
          where === "before" ? { before: neighbor } : { after: neighbor },
        );
      });
    expect(place("before")).toEqual(["Relu", "Neg", "Exp", "Tanh"]);
    expect(place("after")).toEqual(["Relu", "Neg", "Exp", "Tanh"]);
  });

  test("visits in mirrored order if it runs backwards", () => {
    const inserted = (where: "before" | "after") =>
      visit((graph, node) => {
        if (node.op === "Exp")
          graph.addNode({ op: "Abs", inputs: graph.inputs }, where === "before" ? { before: node } : { after: node });
      }, true);
    expect(inserted("before")).toEqual(["Tanh", "Exp", "Abs", "Neg", "Relu"]);
    expect(inserted("after")).toEqual(["Tanh", "Exp", "Neg", "Relu"]);
    expect(visit((graph, node) => node.op !== "Tanh" && bridge(graph, node), true)).toEqual([
      "Tanh",
      "Exp",
      "Neg",
      "Relu",
    ]);
  });

  test("allows removal of every node", () => {
    const { graph } = parseModel(chain);
    graph.setOutputs([]);
    for (const node of graph.nodesBackwards()) graph.removeNode(node);
    expect(graph.nodeCount).toBe(0);
    expect([...graph.values()].map(({ name }) => name)).toEqual(["x"]);
  });
});

describe("addNode", () => {
  test("inserts nodes at the end, before or after another one", () => {
    const { graph } = parseModel(chain);
    const first = producer(graph, "a");
    graph.addNode({ op: "First", inputs: [] }, { before: first });
    graph.addNode({ op: "Second", inputs: [] }, { after: first });
    graph.addNode({ op: "Last", inputs: [] });
    expect(operators(graph)).toEqual(["First", "Relu", "Second", "Neg", "Exp", "Tanh", "Last"]);
    expect([...graph.nodesBackwards()].map((node) => node.op)).toEqual(operators(graph).reverse());
    expect(graph.nodeCount).toBe(7);
  });

  test("names outputs as requested, generates names, or omits outputs", () => {
    const { graph } = parseModel(chain);
    const names = (node: Node) => node.outputs.map((output) => output?.name);
    expect(names(graph.addNode({ op: "Split", inputs: [], outputs: 3 }))).toEqual(["Split", "Split_1", "Split_2"]);
    expect(names(graph.addNode({ op: "Split", inputs: [], outputs: 2 }))).toEqual(["Split_3", "Split_4"]);
    expect(names(graph.addNode({ op: "Split", inputs: [], outputs: ["l", undefined, "r"] }))).toEqual([
      "l",
      undefined,
      "r",
    ]);
  });

  test("adopts a value that was added before its producer", () => {
    const graph = new Graph();
    const early = graph.addValue("h", { type: "float32", dims: [2] });
    const node = graph.addNode({ op: "Relu", inputs: [], outputs: ["h"] });
    expect(node.outputs[0]).toBe(early);
    expect(early.producer).toBe(node);
  });

  test("rejects invalid nodes and changes nothing", () => {
    const model = parseModel(`opset 21\ngraph (x: float32[2]) -> (y) {\n  w: float32[2] = ones\n  y = Add(x, w)\n}\n`);
    const { graph } = model;
    const other = parseModel(chain).graph;
    const x = value(graph, "x");
    for (const existing of ["x", "w", "y"]) {
      expect(refused(model, () => graph.addNode({ op: "Op", inputs: [x], outputs: ["new", existing] }))).toBe("E_NAME");
    }
    expect(refused(model, () => graph.addNode({ op: "Op", inputs: [x], outputs: ["new", "new"] }))).toBe("E_NAME");
    expect(refused(model, () => graph.addNode({ op: "Op", inputs: [x, value(other, "a")] }))).toBe("E_MODEL");
    expect(refused(model, () => graph.addNode({ op: "Op", inputs: [x] }, { before: producer(other, "a") }))).toBe(
      "E_MODEL",
    );
  });
});

describe("removeNode and removeValue", () => {
  test("rejects a node whose output is read or is an output of the graph", () => {
    const model = parseModel(chain);
    expect(refused(model, () => model.graph.removeNode(producer(model.graph, "a")))).toBe("E_MODEL");
    expect(refused(model, () => model.graph.removeNode(producer(model.graph, "y")))).toBe("E_MODEL");
  });

  test("makes a removed node unusable", () => {
    const { graph } = parseModel(chain);
    graph.setOutputs([value(graph, "c")]);
    const node = [...graph.nodes()].at(-1);
    if (node === undefined) throw new Error("no node");
    graph.removeNode(node);
    expect(codeOf(() => graph.removeNode(node))).toBe("E_MODEL");
    expect(codeOf(() => graph.setInput(node, 0, value(graph, "x")))).toBe("E_MODEL");
  });

  test("releases the inputs and output names of a removed node", () => {
    const { graph } = parseModel(chain);
    graph.setOutputs([value(graph, "c")]);
    graph.removeNode(producer(graph, "y"));
    expect(value(graph, "c").uses.size).toBe(0);
    expect(graph.value("y")).toBeUndefined();
    expect(graph.freshName("y")).toBe("y");
  });

  const branching = `opset 21
graph (x: float32[2], flag: bool[]) -> (y) {
  w: float32[2] = ones
  y = If(flag) {then_branch=graph () -> (t) {
    inner: float32[2] = ones
    t = Loop(x) {body=graph () -> (deep) {
      deep = Add(inner, w)
    }}
  }, else_branch=graph () -> (e) {
    e = Neg(w)
  }}
}
`;

  test("removes a node's subgraphs too, with their uses and names", () => {
    const { graph } = parseModel(branching);
    const w = value(graph, "w");
    expect([...w.uses].map(({ node }) => node.op)).toEqual(["Add", "Neg"]);
    graph.setOutputs([]);
    graph.removeNode(producer(graph, "y"));
    expect(w.uses.size).toBe(0);
    expect(value(graph, "x").uses.size).toBe(0);
    for (const name of ["inner", "t", "deep", "e", "y"]) expect(graph.freshName(name)).toBe(name);
    graph.removeValue(w);
    expect(graph.value("w")).toBeUndefined();
  });

  test("releases the uses of a replaced or removed subgraph", () => {
    const model = parseModel(branching);
    const { graph } = model;
    const node = producer(graph, "y");
    const branch = new Graph(node);
    branch.addOutput(branch.addNode({ op: "Abs", inputs: [value(graph, "x")], outputs: ["n"] }).outputs[0] as Value);
    graph.setAttribute(node, "else_branch", { kind: "graph", value: branch });
    expect([...value(graph, "w").uses].map((use) => use.node.op)).toEqual(["Add"]);
    graph.setAttribute(node, "then_branch", undefined);
    expect(value(graph, "w").uses.size).toBe(0);
    expect([...value(graph, "x").uses].map((use) => use.node.op)).toEqual(["Abs"]);
  });

  test("keeps a subgraph that is set again", () => {
    const model = parseModel(branching);
    const before = printModel(model);
    const node = producer(model.graph, "y");
    const attribute = node.attributes.get("then_branch");
    model.graph.setAttribute(node, "then_branch", attribute?.kind === "graph" ? { ...attribute } : undefined);
    expect(printModel(model)).toBe(before);
  });

  test("rejects a stored tensor or input that is in use", () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[2], z: float32[2]) -> (y, w) {\n  w: float32[2] = ones\n  y = Relu(x)\n}\n",
    );
    const { graph } = model;
    expect(refused(model, () => graph.removeValue(value(graph, "x")))).toBe("E_MODEL");
    expect(refused(model, () => graph.removeValue(value(graph, "y")))).toBe("E_MODEL");
    expect(refused(model, () => graph.removeValue(value(graph, "w")))).toBe("E_MODEL");
    graph.removeValue(value(graph, "z"));
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });
});

describe("setInput", () => {
  test("updates uses", () => {
    const { graph } = parseModel(chain);
    const node = producer(graph, "c");
    graph.setInput(node, 0, value(graph, "x"));
    expect(value(graph, "b").uses.size).toBe(0);
    expect([...value(graph, "x").uses].map((use) => [use.node.op, use.input])).toEqual([
      ["Relu", 0],
      ["Exp", 0],
    ]);
  });

  test("drops trailing absent inputs and keeps absent ones in between", () => {
    const { graph } = parseModel("opset 21\ngraph (x: float32[2]) -> (y) {\n  y = Clip(x, x, x)\n}\n");
    const node = producer(graph, "y");
    graph.setInput(node, 1, undefined);
    expect(node.inputs.map((input) => input?.name)).toEqual(["x", undefined, "x"]);
    graph.setInput(node, 2, undefined);
    expect(node.inputs.map((input) => input?.name)).toEqual(["x"]);
    graph.setInput(node, 2, value(graph, "x"));
    expect(node.inputs.map((input) => input?.name)).toEqual(["x", undefined, "x"]);
    expect([...value(graph, "x").uses].map((use) => use.input)).toEqual([0, 2]);
  });

  test("rejects a value that the node cannot see", () => {
    const model = parseModel(chain);
    const other = value(parseModel(chain).graph, "a");
    expect(refused(model, () => model.graph.setInput(producer(model.graph, "b"), 0, other))).toBe("E_MODEL");
  });
});

describe("value names", () => {
  test("generates fresh names that are unique in the graph, outer graphs and subgraphs", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2], flag: bool[]) -> (y) {\n  y = If(flag) {then_branch=graph () -> (t) { t = Neg(x) }, else_branch=graph () -> (e) { e = Exp(x) }}\n}\n",
    );
    const [inner, other] = subgraphs(producer(graph, "y"));
    expect(graph.freshName("t")).toBe("t_1");
    expect(inner?.freshName("y")).toBe("y_1");
    expect(other?.freshName("t")).toBe("t_1");
    other?.addValue("t_1");
    expect(graph.freshName("t")).toBe("t_2");
  });

  test("returns a fresh name again until it is used", () => {
    const graph = new Graph();
    expect([graph.freshName("a"), graph.freshName("a")]).toEqual(["a", "a"]);
    graph.addValue("a");
    expect(graph.freshName("a")).toBe("a_1");
  });

  test("numbers a stored tensor whose name is in use", () => {
    const graph = new Graph();
    const tensor = inMemory(float32([1], [1]));
    expect([graph.addTensor("w", tensor), graph.addTensor("w", tensor, buffer)].map(({ name }) => name)).toEqual([
      "w",
      "w_1",
    ]);
    expect(graph.value("w_1")?.role).toBe(buffer);
    expect(graph.value("w_1")?.type).toEqual({ type: "float32", dims: [1] });
  });

  test("renames a value and releases the old name", () => {
    const { graph } = parseModel(chain);
    const a = value(graph, "a");
    graph.rename(a, "first");
    expect(graph.value("first")).toBe(a);
    expect(graph.value("a")).toBeUndefined();
    expect(graph.freshName("a")).toBe("a");
    expect(graph.freshName("first")).toBe("first_1");
  });

  test("rejects a name in use, also in an outer graph", () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[2], flag: bool[]) -> (y) {\n  y = If(flag) {then_branch=graph () -> (t) { t = Neg(x) }, else_branch=graph () -> (e) { e = Exp(x) }}\n}\n",
    );
    const [inner] = subgraphs(producer(model.graph, "y"));
    expect(refused(model, () => model.graph.rename(value(model.graph, "x"), "y"))).toBe("E_NAME");
    expect(refused(model, () => inner?.rename(value(inner, "t"), "x"))).toBe("E_NAME");
    expect(refused(model, () => model.graph.addValue("x"))).toBe("E_NAME");
  });

  test("updates the roles of tied values after a rename", () => {
    const { graph } = parseModel(
      "opset 21\ngraph () -> () {\n  w: float32[2, 3] parameter = ones\n  v: float32[3, 2] tied(w, transposed) = ones\n  u: float32[1] tied(other) = ones\n}\n",
    );
    graph.rename(value(graph, "w"), "w_original");
    expect(value(graph, "v").role).toEqual({ kind: "tied", name: "w_original", transposed: true });
    expect(value(graph, "u").role).toEqual({ kind: "tied", name: "other", transposed: false });
  });

  test("ties values to the first of them if their tensor is removed", () => {
    const { graph } = parseModel(
      "opset 21\ngraph () -> () {\n  w: float32[2, 3] = ones\n  v: float32[3, 2] tied(w, transposed) = ones\n  u: float32[2, 3] tied(w) = ones\n  t: float32[3, 2] tied(w, transposed) = ones\n  s: float32[1] tied(other) = ones\n}\n",
    );
    graph.removeValue(value(graph, "w"));
    expect(value(graph, "v").role).toBeUndefined();
    expect(value(graph, "u").role).toEqual({ kind: "tied", name: "v", transposed: true });
    expect(value(graph, "t").role).toEqual({ kind: "tied", name: "v", transposed: false });
    expect(value(graph, "s").role).toEqual({ kind: "tied", name: "other", transposed: false });
    graph.removeValue(value(graph, "u"));
    graph.rename(value(graph, "v"), "first");
    expect(value(graph, "t").role).toEqual({ kind: "tied", name: "first", transposed: false });
  });

  test("finds outer values from a subgraph, but not inner values from outside", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2], flag: bool[]) -> (y) {\n  y = If(flag) {then_branch=graph () -> (t) { t = Neg(x) }, else_branch=graph () -> (e) { e = Exp(x) }}\n}\n",
    );
    const [inner] = subgraphs(producer(graph, "y"));
    expect(inner?.value("x")).toBe(graph.value("x"));
    expect(inner?.ownValue("x")).toBeUndefined();
    expect(graph.value("t")).toBeUndefined();
  });
});

describe("graph inputs and outputs", () => {
  test("requires no feeds for weights listed as inputs", () => {
    const { graph } = parseModel(
      "ir 3, opset 7\ngraph (x: float32[2], w: float32[2] = ones) -> (y) {\n  y = Add(x, w)\n}\n",
    );
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x", "w"]);
    expect(graph.feeds.map(({ name }) => name)).toEqual(["x"]);
    graph.setInputs(graph.feeds);
    expect(graph.value("w")?.tensor).toBeDefined();
  });

  test("rejects values of other graphs", () => {
    const model = parseModel(chain);
    const other = value(parseModel(chain).graph, "x");
    expect(refused(model, () => model.graph.setInputs([other]))).toBe("E_MODEL");
    expect(refused(model, () => model.graph.addOutput(other))).toBe("E_MODEL");
  });
});

describe("sort", () => {
  test("puts producers before consumers and keeps the remaining order", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2]) -> (y) {\n  y = Add(b, c)\n  free1 = Abs(x)\n  c = Exp(a)\n  a = Relu(x)\n  free2 = Cos(x)\n  b = Neg(a)\n}\n",
    );
    graph.sort();
    expect(operators(graph)).toEqual(["Relu", "Neg", "Exp", "Add", "Abs", "Cos"]);
    expect([...graph.nodesBackwards()].map((node) => node.op)).toEqual(operators(graph).reverse());
    expect(graph.nodeCount).toBe(6);
    const sorted = operators(graph);
    graph.sort();
    expect(operators(graph)).toEqual(sorted);
  });

  test("puts values that a subgraph reads before its node", () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[2], flag: bool[]) -> (y) {\n  y = If(flag) {then_branch=graph () -> (t) { t = Neg(late) }, else_branch=graph () -> (e) { e = Exp(x) }}\n  late = Relu(x)\n}\n",
    );
    expect(verify(model)).not.toEqual([]);
    model.graph.sort();
    expect(operators(model.graph)).toEqual(["Relu", "If"]);
    expect(verify(model)).toEqual([]);
  });

  test("rejects a cycle and changes nothing", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2]) -> (y) {\n  a = Relu(b)\n  b = Neg(a)\n  y = Add(a, b)\n}\n",
    );
    expect(codeOf(() => graph.sort())).toBe("E_MODEL");
    expect(operators(graph)).toEqual(["Relu", "Neg", "Add"]);
  });
});

describe("moveToEnd", () => {
  const source = `opset 21
graph (x: float32[2]) -> (a, c, d) {
  a = Neg(x)
  b = Abs(x)
  c = Exp(b)
  d = Sqrt(b)
}`;
  const order = (model: Model): readonly string[] => Array.from(model.graph.nodes(), ({ op }) => op);

  test("moves nodes after all others, in the given order", () => {
    const model = parseModel(source);
    model.graph.moveToEnd([producer(model, "c"), producer(model, "a")]);
    expect(order(model)).toEqual(["Abs", "Sqrt", "Exp", "Neg"]);
    expect(verify(model)).toEqual([]);
  });

  test("rejects a node that another reads, and changes nothing", () => {
    const model = parseModel(source);
    expect(() => model.graph.moveToEnd([producer(model, "b")])).toThrow('Exp "c" would stand before what it reads.');
    expect(order(model)).toEqual(["Neg", "Abs", "Exp", "Sqrt"]);
  });
});

describe("graph walks", () => {
  test("describes a node by its name, or else by its output", () => {
    const { graph } = parseModel(
      'opset 21\ngraph (x: float32[2]) -> (y) {\n  a = com.microsoft.Gelu(x)\n  y = Relu "act" (a)\n}\n',
    );
    expect([...graph.nodes()].map(nodeText)).toEqual(['com.microsoft.Gelu "a"', 'Relu "act"']);
  });

  test("visits subgraphs and the outer values that they read", () => {
    const { graph } = parseModel(
      "opset 21\ngraph (x: float32[2], flag: bool[]) -> (y) {\n  w: float32[2] = ones\n  y = If(flag) {then_branch=graph () -> (t) { i: float32[2] = ones; t = If(flag) {then_branch=graph () -> (d) { d = Add(w, i) }, else_branch=graph () -> (f) { f = Neg(i) }} }, else_branch=graph () -> (e) { e = Exp(x) }}\n}\n",
    );
    expect([...usedValues(producer(graph, "y"))].map(({ name }) => name)).toEqual(["flag", "flag", "w", "x"]);
    expect([...allGraphs(graph)].map((inner) => inner.outputs[0]?.name)).toEqual(["y", "t", "d", "f", "e"]);
  });
});

test("any sequence of edits leaves a valid model or is rejected", () => {
  const edit = fc.record({ kind: fc.integer({ min: 0, max: 6 }), a: fc.nat(20), b: fc.nat(20), c: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 40 }), (edits) => {
      const model = parseModel(`opset 21
graph (x: float32[2], flag: bool[]) -> (y, z) {
  w: float32[2] parameter = ones
  a = Relu(x)
  b = Add(a, w)
  z = If(flag) {then_branch=graph () -> (t) { t = Neg(b) }, else_branch=graph () -> (e) { v: float32[2] = ones; e = Mul(w, v) }}
  y = Sub(b, a)
}
`);
      const { graph } = model;
      for (const { kind, a, b, c } of edits) {
        const values = [...graph.values()];
        const nodes = [...graph.nodes()];
        const [first, second] = [values[a % values.length], values[b % values.length]];
        const node = nodes[c % nodes.length];
        if (first === undefined || second === undefined || node === undefined) continue;
        const code = codeOf(() => {
          if (kind === 0) graph.addNode({ op: "Relu", inputs: [first] });
          else if (kind === 1) graph.removeNode(node);
          else if (kind === 2) replaceUses(first, second);
          else if (kind === 3) graph.rename(first, `n${b}`);
          else if (kind === 4) graph.removeValue(first);
          else if (kind === 5 && node.op !== "If") graph.setInput(node, 0, second);
          else graph.addTensor(`n${a}`, inMemory(float32([2], [a, b])), parameter);
        });
        expect(["none", "E_MODEL", "E_NAME"]).toContain(code);
        // The caller must keep nodes in order and free of cycles. The graph guarantees everything else.
        expect(verify(model).filter((fault) => !/is used before it is produced/.test(fault))).toEqual([]);
      }
      expect(graph.outputs).toHaveLength(2);
    }),
  );
});
