import { describe, expect, test } from "vitest";
import { value } from "../../../test/find.ts";
import { topologies } from "../../../test/zoo/topologies.ts";
import { Miss } from "../errors.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { allValues, type Graph, type Node, subgraphs } from "./graph.ts";
import { mergeGraph } from "./inline.ts";
import { Model } from "./model.ts";
import { replaceUses } from "./replace.ts";
import { mask } from "./role.ts";
import { structureHash } from "./structure-hash.ts";
import { parseModel, printModel } from "./text.ts";
import { verify } from "./verify.ts";

const source = `ir 8, opset 21, com.microsoft 1
graph main (x: float32[batch, 2], flag: bool[], w: float32[2] parameter = ones) -> (y) {
  v: float32[2] tied(w) = ones
  h: float32[batch, 2] = com.microsoft.Op "first" (x, _, w) {alpha=0.5, table=float32[1] [3], opaque=opaque "0a"}
  y = If "branch" (flag) {then_branch=graph () -> (t) {
    inner: float32[2] = ones
    t = Loop(h) {bodies=[graph () -> (d) {
      d = Add(inner, v)
    }]}
  }, else_branch=graph () -> (e) {
    e = Neg(h)
  }}
}
`;

function everything(model: Model): object[] {
  const objects: object[] = [];
  const walk = (graph: Graph): void => {
    objects.push(graph);
    for (const value of graph.values()) objects.push(value, ...value.uses);
    for (const node of graph.nodes()) {
      objects.push(node);
      for (const inner of subgraphs(node)) walk(inner);
    }
  };
  walk(model.graph);
  return objects;
}

function first(graph: Graph): Node {
  const [node] = graph.nodes();
  if (node === undefined) throw new Error("no node");
  return node;
}

describe("clone", () => {
  test("prints the same text and shares every tensor", () => {
    const model = parseModel(source);
    const copy = model.clone();
    expect(printModel(copy)).toBe(source);
    expect(structureHash(copy)).toBe(structureHash(model));
    expect(value(copy, "w").tensor).toBe(value(model, "w").tensor);
    expect(verify(copy).filter((fault) => !fault.includes("Op") && !fault.includes("Loop"))).toEqual([]);
  });

  test("shares no graph, node, value or use", () => {
    const model = parseModel(source);
    const originals = new Set(everything(model));
    expect(everything(model.clone()).filter((part) => originals.has(part))).toEqual([]);
  });

  test("copies documentation, metadata, unknown fields and the header", () => {
    const model = parseModel(source);
    model.header.metadata.set("author", "somebody");
    model.header.doc = "a model";
    model.graph.doc = "a graph";
    value(model, "h").metadata = new Map([["key", "1"]]);
    value(model, "h").foreign = { type: Uint8Array.of(1) };
    first(model.graph).unknown = Uint8Array.of(7);
    const copy = model.clone();
    expect(copy.header).toEqual(model.header);
    expect(copy.graph.doc).toBe("a graph");
    expect(value(copy, "h").metadata).toEqual(new Map([["key", "1"]]));
    expect(value(copy, "h").foreign).toEqual({ type: Uint8Array.of(1) });
    expect(value(copy, "h").declared).toBe(true);
    expect(first(copy.graph).unknown).toEqual(Uint8Array.of(7));
  });

  test("isolates the original from edits of the copy", () => {
    const model = parseModel(source);
    const before = structureHash(model);
    const copy = model.clone();
    const { graph } = copy;
    const node = first(graph);
    graph.setAttribute(node, "alpha", { kind: "float", value: 2 });
    node.name = "renamed";
    node.metadata = new Map([["by", "test"]]);
    graph.rename(value(copy, "w"), "weight");
    value(copy, "weight").tensor = inMemory(float32([2], [5, 6]));
    value(copy, "weight").role = mask;
    for (const inner of subgraphs([...graph.nodes()].at(-1) as Node))
      inner.addNode({ op: "Abs", inputs: [value(copy, "h")] });
    replaceUses(value(copy, "h"), value(copy, "x"));
    graph.removeNode(node);
    graph.setOutputs([]);
    copy.header.opsets.set("", 13);
    copy.header.metadata.set("a", "b");
    expect(structureHash(model)).toBe(before);
    expect(printModel(model)).toBe(source);
    expect(structureHash(copy)).not.toBe(before);
  });

  test("generates fresh names independently", () => {
    const model = parseModel(source);
    const copy = model.clone();
    copy.graph.addValue("new");
    expect(model.graph.freshName("new")).toBe("new");
    expect(copy.graph.freshName("new")).toBe("new_1");
    expect(copy.graph.freshName("inner")).toBe("inner_1");
  });

  test.each(topologies)("copies $name with the same structure", ({ text }) => {
    const model = parseModel(text);
    expect(structureHash(model.clone())).toBe(structureHash(model));
    expect(verify(model.clone())).toEqual([]);
  });
});

describe("mergeGraph", () => {
  const guest = (opset: number) =>
    parseModel(`opset ${opset}, com.microsoft 1
graph (flag: bool[]) -> (y) {
  w: float32[2] parameter = ones
  y = If(flag) {then_branch=graph () -> (t) {
    v: float32[2] parameter = ones
    t = Add(v, w)
  }, else_branch=graph () -> (e) {
    e = Neg(w)
  }}
}`);

  test("removes the roles of the guest, also in subgraphs", () => {
    const host = new Model();
    mergeGraph(host, guest(21), "guest.", new Map());
    expect([...allValues(host.graph)].flatMap(({ role }) => role ?? [])).toEqual([]);
  });

  test("changes nothing if the operator sets differ", () => {
    const host = new Model();
    const before = structureHash(host);
    const other = guest(20);
    other.header.opsets.delete("");
    other.header.opsets.set("", 20);
    expect(mergeGraph(host, other, "guest.", new Map())).toBeInstanceOf(Miss);
    expect(structureHash(host)).toBe(before);
  });
});
