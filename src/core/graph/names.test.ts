import { expect, test } from "vitest";
import { Graph } from "./graph.ts";
import { Model } from "./model.ts";
import { makeNamesDistinct } from "./names.ts";

test("nameApart renames later nodes of the same name and leaves unnamed nodes unnamed", () => {
  const graph = new Graph();
  let value = graph.addInput("x", { type: "float32", dims: [2] });
  for (const name of ["n", "n", "", "n_1", "n", ""])
    value = graph.addNode({ op: "Relu", name, inputs: [value] }).outputs[0] ?? value;
  graph.addOutput(value);
  makeNamesDistinct(new Model(graph));
  expect([...graph.nodes()].map(({ name }) => name)).toEqual(["n", "n_2", "", "n_1", "n_3", ""]);
});
