import { expect, test } from "vitest";
import { infer } from "../analysis/infer.ts";
import { Graph } from "./graph.ts";
import { allGraphs } from "./graph-elements.ts";
import type { Model } from "./model.ts";
import { replaceUses } from "./replace.ts";
import { parameter } from "./role.ts";
import { snapshot } from "./snapshot.ts";
import { structureHash } from "./structure-hash.ts";
import { parseModel } from "./text.ts";
import { verify } from "./verify.ts";

const network = (): Model =>
  parseModel(`opset 17
graph (x: float32[n, 2], flag: bool[]) -> (y) {
  w: float32[2, 2] parameter = [1, 2, 3, 4]
  copy: float32[2, 2] tied(w) = [1, 2, 3, 4]
  other: float32[2, 2] tied(w) = [1, 2, 3, 4]
  a = MatMul "first" (x, w)
  b = If (flag) {
    then_branch = graph () -> (yes) {
      twice = MatMul (a, copy)
      yes = MatMul (twice, other)
    },
    else_branch = graph () -> (no) {
      two: float32[] = 2
      no = Mul (a, two)
    },
  }
  y = Relu (b)
}`);

/** The graphs, nodes and values of a model in order, each with the objects that it refers to. */
function parts({ graph }: Model): readonly unknown[] {
  return [...allGraphs(graph)].flatMap((inner) => [
    inner,
    ...[inner.inputs, inner.outputs].flat(),
    ...[...inner.nodes()].flatMap((node) => [node, ...node.inputs, ...node.outputs, ...node.attributes.values()]),
    ...[...inner.nodesBackwards()],
    ...[...inner.values()].flatMap((value) => [value, value.tensor, value.producer, ...value.uses]),
    ...[...inner.values()].flatMap(({ name }) => inner.tiedTo(name).map(({ value }) => value)),
  ]);
}

const areSame = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((part, at) => Object.is(part, b[at]));

const edits: Readonly<Record<string, (model: Model) => void>> = {
  "an inserted node and a removed later one": ({ graph }) => {
    const [first] = graph.nodes();
    const [a] = first?.outputs ?? [];
    if (first === undefined || a === undefined) throw new Error("no node");
    const [more] = graph.addNode({ op: "Relu", inputs: [a], name: "first" }, { after: first }).outputs;
    const y = graph.outputs[0];
    if (more === undefined || y?.producer === undefined) throw new Error("no output");
    graph.setOutputs([more]);
    graph.removeNode(y.producer);
  },
  "a replaced subgraph": ({ graph }) => {
    const node = [...graph.nodes()].find(({ op }) => op === "If");
    if (node === undefined) throw new Error("no If");
    graph.setAttribute(node, "then_branch", node.attributes.get("else_branch"));
  },
  "rewritten nodes of a subgraph": ({ graph }) => {
    for (const inner of [...allGraphs(graph)].slice(1)) {
      for (const node of inner.nodes()) {
        const [output] = node.outputs;
        if (output !== undefined) replaceUses(output, inner.addTensor("made", node.inputs[1]?.tensor as never));
        inner.removeNode(node);
      }
    }
  },
  "a renamed weight and an untied one": ({ graph }) => {
    const [w, copy] = [graph.value("w"), graph.value("copy")];
    if (w === undefined || copy === undefined) throw new Error("no weights");
    graph.rename(w, "weight");
    copy.role = parameter;
    w.tensor = undefined;
    w.type = { type: "float16", dims: [2] };
  },
  "a subgraph with tied values instead of another": ({ graph }) => {
    const node = [...graph.nodes()].find(({ op }) => op === "If");
    if (node === undefined) throw new Error("no If");
    const inner = new Graph(node);
    const d = inner.addTensor("d", graph.value("w")?.tensor as never, { kind: "tied", name: "w", transposed: false });
    inner.addOutput(d);
    graph.setAttribute(node, "else_branch", { kind: "graph", value: inner });
  },
  "changed inputs, outputs, order, metadata and versions": (model) => {
    const { graph, header } = model;
    graph.addInput("more", { type: "int64", dims: [] });
    graph.addOutput(graph.inputs[0] as never);
    graph.moveToEnd([...graph.nodes()].slice(-1));
    for (const node of graph.nodes()) node.metadata = new Map([["by", "test"]]);
    graph.doc = "changed";
    header.opsets.set("", 21).set("com.microsoft", 1);
    header.metadata.set("a", "b");
    header.producerName = "test";
  },
};

test.each(Object.entries(edits))("snapshot restores the same objects after %s", (_, edit) => {
  const model = network();
  const [hash, before, fresh] = [structureHash(model), parts(model), model.graph.freshName("Relu")];
  const types = () => [...allGraphs(model.graph)].flatMap((inner) => [...inner.values()].map(({ type }) => type));
  const restore = snapshot(model);
  infer(model);
  const inferred = types();
  let { revision } = model.graph;
  for (let times = 0; times < 2; times++) {
    edit(model);
    expect(structureHash(model)).not.toBe(hash);
    expect(areSame(parts(model), before)).toBe(false);
    infer(model);
    restore();
    expect(structureHash(model)).toBe(hash);
    expect(areSame(parts(model), before)).toBe(true);
    // Results cached for an earlier revision contain other values.
    expect(model.graph.revision).toBeGreaterThan(revision);
    revision = model.graph.revision;
    infer(model);
    expect(types()).toEqual(inferred);
    expect(model.graph.freshName("Relu")).toBe(fresh);
    expect(verify(model)).toEqual([]);
  }
});

test("snapshot drops a later node, and revisions never repeat", () => {
  const model = network();
  const { graph } = model;
  const restore = snapshot(model);
  const node = graph.addNode({ op: "Relu", inputs: [graph.inputs[0]], outputs: ["z"] });
  const { revision } = graph;
  restore();
  expect(() => graph.setInput(node, 0, undefined)).toThrow("is not in graph");
  graph.freshName("z");
  graph.addValue("z");
  expect(graph.revision).toBeGreaterThan(revision);
});

test("snapshot restores a node with 200,000 inputs", () => {
  const model = network();
  const { graph } = model;
  const [x] = graph.inputs;
  const many = new Array(200_000).fill(x);
  const node = graph.addNode({ op: "Concat", inputs: many, attributes: { axis: { kind: "int", value: 0 } } });
  const restore = snapshot(model);
  graph.setInput(node, 100_000, undefined);
  restore();
  expect([node.inputs.length, node.inputs[100_000], x?.uses.size]).toEqual([200_000, x, 200_001]);
});
