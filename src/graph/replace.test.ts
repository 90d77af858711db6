import { describe, expect, test } from "vitest";
import { emitInto } from "./emit.ts";
import type { Model } from "./model.ts";
import { replaceNode } from "./replace.ts";
import { parseModel, printNode } from "./text.ts";
import { verify } from "./verify.ts";

/** `TopK` as two nodes without meaning: what matters is who reads what. */
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
  test("every output is taken over under its name, with what the file states of it", () => {
    const model = replaced("v: float32[3], i: int64[3]");
    expect(model.graph.outputs.map(({ name, stated }) => [name, stated?.dims])).toEqual([
      ["v", [3]],
      ["i", [3]],
    ]);
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["Neg", "Abs"]);
  });

  test.each(["v: float32[4]", "i: int64[4]"])("outputs that nobody reads are no obstacle: %s is read", (output) => {
    const model = replaced(output);
    expect(printed(model).some((line) => line.includes("TopK"))).toBe(false);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual([output.slice(0, 1)]);
  });

  test("an output that is used and has no value is refused", () => {
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
