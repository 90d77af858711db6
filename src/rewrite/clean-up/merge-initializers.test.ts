import { expect, it } from "vitest";
import { Graph } from "../../core/graph/graph.ts";
import { Model } from "../../core/graph/model.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { float32, inMemory } from "../../core/tensor/dense.ts";
import { mergeInitializers } from "./merge-initializers.ts";

const size = 4096;

it("reads only weights completely whose first bytes equal those of another weight", async () => {
  // Two are equal, one is equal at the start, and one is different.
  const weights = { first: [1, 1], copy: [1, 1], other: [1, 2], unlike: [3, 1] };
  const graph = new Graph();
  let sum = graph.addInput("x", { type: "float32", dims: [size] });
  for (const [name, [head = 0, tail = 0]] of Object.entries(weights)) {
    const numbers = Float32Array.from({ length: size }, (_, index) => (index < size / 2 ? head : tail) * (index + 1));
    const weight = graph.addTensor(name, inMemory(float32([size], numbers)));
    sum = graph.addNode({ op: "Add", inputs: [sum, weight] }).outputs[0] ?? sum;
  }
  graph.addOutput(sum);
  const model = new Model(graph);
  model.header.opsets.set("", 21);
  const opened = await open(await encodeToBytes(model));
  const readNames: string[] = [];
  for (const value of opened.graph.values()) {
    const { name, tensor } = value;
    if (tensor === undefined) continue;
    const read = () => {
      readNames.push(name);
      return tensor.read();
    };
    value.tensor = { ...tensor, read };
  }
  const { changes } = await mergeInitializers(opened, {}, {});
  expect(changes.map(({ at, what }) => [at, what])).toEqual([["copy", 'stored once, as "first"']]);
  expect(readNames).toEqual(["first", "copy", "other"]);
});
