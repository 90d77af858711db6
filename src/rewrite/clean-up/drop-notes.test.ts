import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { allGraphs, type Carried } from "../../core/graph/graph.ts";
import { structureHash } from "../../core/graph/hash.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { dropNotes } from "./drop-unused.ts";
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
    expect(changes).toHaveLength(carriers(model).length);
    for (const { metadata } of carriers(model)) expect(Object.fromEntries(metadata)).toEqual(kept);
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
