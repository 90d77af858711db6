import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers, layers } from "../../core/analysis/layers.ts";
import { allGraphs, allNodes, type Carried } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { dropNotes } from "./drop-notes.ts";
import { simplify } from "./simplify.ts";

const scopes = "pkg.torch.onnx.name_scopes";
const notes = {
  "pkg.torch.onnx.stack_trace": 'File "model.py", line 26, in forward',
  "pkg.onnxscript.optimizer.folded_from": "['val_3']",
  namespace: ": Net/head: torch.nn.Linear",
};
const kept = { [scopes]: "['', 'head', 'linear']", "pith.pass": "prune", author: "somebody", "pkg.other.note": "n" };

function modelWithNotes(): Model {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2], flag: bool[]) -> (y: float32[batch, 2], z: float32[...]) {
  val_3: float32[2, 2] parameter = [[1, 2], [3, 4]]
  y = MatMul(x, val_3)
  z = If(flag) {then_branch=graph () -> (t) { t = Neg(y) }, else_branch=graph () -> (e) { e = Abs(y) }}
}`);
  for (const carrier of carriers(model)) {
    carrier.metadata = new Map(Object.entries({ ...notes, ...kept }));
  }
  model.header.metadata.set("namespace", "a user's");
  return model;
}

function carriers(model: Model): Carried[] {
  return [...allGraphs(model.graph)].flatMap((graph) => [graph, ...graph.nodes(), ...graph.values()]);
}

describe("export metadata", () => {
  test("is removed everywhere, except names of layers and metadata of other programs", async () => {
    const model = modelWithNotes();
    const names = [...layers(model, infer(model))].map(({ name }) => name);
    const { changes } = await dropNotes(model);
    expect(changes).toHaveLength(new Set(changes.map(({ at }) => at)).size);
    for (const carrier of carriers(model)) {
      const { [scopes]: module, ...others } = Object.fromEntries(carrier.metadata);
      expect(others).toEqual({ "pith.pass": "prune", author: "somebody", "pkg.other.note": "n" });
      const isOtherNode = "op" in carrier && carrier.op !== "MatMul";
      const isLayer = "op" in carrier && !isOtherNode;
      expect(module).toBe(isOtherNode ? undefined : isLayer ? "['head', 'linear']" : kept[scopes]);
    }
    expect(model.header.metadata.get("namespace")).toBe("a user's");
    expect([...layers(model, infer(model))].map(({ name }) => name)).toEqual(names);
    expect(names).toEqual(["head"]);
    expect(model.graph.value("val_3")?.role).toEqual({ kind: "parameter" });
  });

  test.each([
    ["/usr/lib/torch/nn/functional.py(1848): linear\n/home/me/net.py(12): forward\n", undefined],
    ['  File "/home/me/net.py", line 12, in forward\n    y = self.fc(x)', undefined],
    ["the gate: see net.py", "the gate: see net.py"],
    ["", ""],
  ])("replaces the node documentation %j by %j", async (doc, remaining) => {
    const model = parseModel("opset 21\ngraph (x: float32[2]) -> (y) {\n  y = Neg(x)\n}");
    for (const node of model.graph.nodes()) node.doc = doc;
    await dropNotes(model);
    expect([...model.graph.nodes()].map((node) => node.doc)).toEqual([remaining]);
  });

  test("removes declared types of stored tensors, unless they carry other information", async () => {
    const model = await open(await encodeToBytes(modelWithNotes()));
    const value = model.graph.value("val_3");
    if (value === undefined) throw new Error("val_3 is gone");
    value.declared = true;
    await dropNotes(model);
    expect(value.declared).toBe(false);
    value.declared = true;
    // A ValueInfoProto with a documentation string (field 3): "note".
    value.foreign = { ...value.foreign, info: Uint8Array.of(0x1a, 4, 0x6e, 0x6f, 0x74, 0x65) };
    await dropNotes(model);
    expect(value.declared).toBe(true);
  });

  test("keeps the module of a weight that is computed from stored tensors without a layer's name", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  val_3: int8[2, 2] = [[1, 2], [3, 4]]
  s: float32[] = 0.5
  head.weight: float32[2, 2] = [[1, 2], [3, 4]]
  w = DequantizeLinear(val_3, s)
  h = MatMul(x, w)
  shape: int64[2] = [-1, 2]
  r = Reshape(h, shape)
  y = MatMul(r, head.weight)
}`);
    for (const node of model.graph.nodes()) node.metadata = new Map([[scopes, "['', 'net', 'linear']"]]);
    await dropNotes(model);
    const [, first, reshape, last] = [...model.graph.nodes()].map(({ metadata }) => metadata.has(scopes));
    expect([first, reshape, last]).toEqual([true, false, false]);
  });

  test("keeps the names of layers in branches that read a weight computed outside", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 2], flag: bool[]) -> (z) {
  val_3: int8[2, 2] = [[1, 2], [3, 4]]
  s: float32[] = 0.5
  w = DequantizeLinear(val_3, s)
  z = If(flag) {then_branch=graph () -> (t) { t = MatMul(x, w) }, else_branch=graph () -> (e) { e = Abs(x) }}
}`);
    for (const node of allNodes(model.graph)) node.metadata = new Map([[scopes, "['', 'head', 'linear']"]]);
    const before = [...allLayers(model, infer(model))].map(({ name }) => name);
    await dropNotes(model);
    expect(before).toEqual(["head"]);
    expect([...allLayers(model, infer(model))].map(({ name }) => name)).toEqual(before);
  });

  test("does not change a model without it", async () => {
    const model = modelWithNotes();
    await dropNotes(model);
    const before = structureHash(model);
    expect((await dropNotes(model)).changes).toEqual([]);
    expect(structureHash(model)).toBe(before);
  });

  test("is kept by save and removed by simplify", async () => {
    const bytes = await encodeToBytes(modelWithNotes());
    expect(await encodeToBytes(await open(bytes))).toEqual(bytes);
    const model = await open(bytes);
    await simplify(model);
    const smaller = await encodeToBytes(model);
    expect(smaller.length).toBeLessThan(bytes.length);
    expect(Buffer.from(smaller).includes("stack_trace")).toBe(false);
    expect((await simplify(await open(smaller))).changes).toEqual([]);
  });
});
