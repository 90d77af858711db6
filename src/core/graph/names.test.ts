import { expect, test } from "vitest";
import { allGraphs, Graph } from "./graph.ts";
import { Model } from "./model.ts";
import { makeNamesDistinct } from "./names.ts";
import { parseModel } from "./text.ts";

test("nameApart renames later nodes of the same name and leaves unnamed nodes unnamed", () => {
  const graph = new Graph();
  let value = graph.addInput("x", { type: "float32", dims: [2] });
  for (const name of ["n", "n", "", "n_1", "n", ""])
    value = graph.addNode({ op: "Relu", name, inputs: [value] }).outputs[0] ?? value;
  graph.addOutput(value);
  makeNamesDistinct(new Model(graph));
  expect([...graph.nodes()].map(({ name }) => name)).toEqual(["n", "n_2", "", "n_1", "n_3", ""]);
});

test("renames values in subgraphs that have the name of an outer value, except values that depend on the node around them", () => {
  const model = parseModel(`opset 21
graph (x: float32[2], flag: bool[]) -> (y: float32[2], z: float32[2], late: float32[2]) {
  y = If (flag) {then_branch=graph () -> (y) {
    z = Neg(x)
    y = If (flag) {then_branch=graph () -> (y) { y = Neg(z) }, else_branch=graph () -> (t) { t = Abs(x) }}
  }, else_branch=graph () -> (z) { late = Neg(x); z = Abs(late) }}
  late = Neg(y)
  z = Neg(x)
}`);
  makeNamesDistinct(model);
  const names = Array.from(allGraphs(model.graph), (graph) =>
    [...graph.nodes()].map(({ outputs: [first] }) => first?.name),
  );
  expect(names).toEqual([["y", "late", "z"], ["z_1", "y"], ["y"], ["t"], ["late", "z_2"]]);
});
