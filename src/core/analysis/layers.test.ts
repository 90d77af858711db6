import { describe, expect, test } from "vitest";
import { PithError } from "../errors.ts";
import { parseModel } from "../graph/text.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { selectLayers } from "./selection.ts";

const two = (first: string, second: string) =>
  parseModel(`opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  onnx::MatMul_1: float32[4, 4] = random(seed 1)
  onnx::MatMul_2: float32[4, 4] = random(seed 2)
  h = MatMul "${first}" (x, onnx::MatMul_1)
  y = MatMul "${second}" (h, onnx::MatMul_2)
}`);
const namesOf = (model: ReturnType<typeof two>): string[] => layers(model, infer(model)).map(({ name }) => name);

describe("names of layers with unnamed weights", () => {
  test("uses the module path that an older exporter writes into the node name", () => {
    expect(namesOf(two("/layer1/layer1.0/conv1/MatMul", "/blocks/blocks.0/body/body.7/MatMul_1"))).toEqual([
      "layer1.0.conv1",
      "blocks.0.body.7",
    ]);
  });

  test("uses the innermost module that a newer exporter lists in the node metadata", () => {
    const model = two("node_MatMul_61", "node_MatMul_69");
    const scopes = ["['', 'bert', 'bert.encoder.layer.0.query', 'linear']", "['', 'bert', 'bert.pooler', 'linear_1']"];
    for (const [index, node] of [...model.graph.nodes()].entries())
      node.metadata = new Map([["pkg.torch.onnx.name_scopes", scopes[index] ?? ""]]);
    expect(namesOf(model)).toEqual(["bert.encoder.layer.0.query", "bert.pooler"]);
  });

  test("uses the node name if two nodes share a module or none is recorded", () => {
    expect(namesOf(two("/attention/MatMul", "/attention/MatMul_1"))).toEqual([
      "/attention/MatMul",
      "/attention/MatMul_1",
    ]);
    expect(namesOf(two("/MatMul", "last"))).toEqual(["/MatMul", "last"]);
    expect(namesOf(two("", "last"))).toEqual(["h", "last"]);
  });
});

describe("layer names", () => {
  test("differ for a table and its transposed copy in one module", () => {
    const model = parseModel(`opset 21
graph (ids: int64[n]) -> (y: float32[n, 9]) {
  table: float32[9, 4] = random(seed 1)
  copy: float32[4, 9] = random(seed 2)
  x = Gather "/block1/Gather" (table, ids)
  y = MatMul "/block1/MatMul" (x, copy)
}`);
    expect(namesOf(model)).toEqual(["/block1/Gather", "/block1/MatMul"]);
  });

  test("differ for different weights if node names repeat or equal a layer name", () => {
    expect(namesOf(two("same", "same"))).toEqual(["same", "same_2"]);
    const third = parseModel(`opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  a: float32[4, 4] = random(seed 1)
  same_2.weight: float32[4, 4] = random(seed 2)
  c: float32[4, 4] = random(seed 3)
  h = MatMul "same" (x, a)
  i = MatMul "other" (h, same_2.weight)
  j = MatMul "same" (i, c)
  y = MatMul "same" (j, a)
}`);
    expect(namesOf(third)).toEqual(["same", "same_2", "same_3", "same"]);
  });

  test("are equal for a table read as floats and as quantized values", () => {
    const model = parseModel(`opset 21
graph (ids: int64[n]) -> (y: float32[n, 4]) {
  embed.weight: float32[4, 4] = random(seed 1)
  embed.weight_quantized: int8[4, 4] = random(seed 1, from -9 to 9)
  scale: float32[] = 0.1
  codes = Gather(embed.weight_quantized, ids)
  x = DequantizeLinear(codes, scale)
  y = MatMul(x, embed.weight)
}`);
    expect(namesOf(model)).toEqual(["embed", "embed"]);
  });

  test.each(["fc.weight", "val_7"])("are equal for two layers of one matrix %s quantized in two forms", (name) => {
    const model = parseModel(`opset 21
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  ${name}_quantized: int8[4, 4] = random(seed 1, from -9 to 9)
  ${name}_quantized_1: int8[4, 4] = random(seed 2, from -9 to 9)
  scale: float32[] = 0.1
  columns = DequantizeLinear(${name}_quantized, scale)
  rows = DequantizeLinear(${name}_quantized_1, scale)
  h = MatMul "/fc/MatMul" (x, columns)
  y = MatMul "/fc/MatMul_1" (h, rows)
}`);
    expect(namesOf(model)).toEqual(["fc", "fc"]);
  });
});

test("selectLayers rejects a selection without layers", () => {
  const all = [{ name: "fc1" }, { name: "fc2" }];
  expect(selectLayers(all, { layers: "fc*", except: "fc1" })).toEqual([{ name: "fc2" }]);
  expect(() => selectLayers(all, { layers: "fc1", except: "fc*" })).toThrow('"except" names every layer');
});

describe("selectLayers for an unknown name", () => {
  const hintOf = (typed: string, names: readonly string[]): unknown => {
    try {
      return selectLayers(
        names.map((name) => ({ name })),
        { layers: typed },
      );
    } catch (error) {
      return error instanceof PithError ? error.hint : error;
    }
  };
  const many = Array.from({ length: 20 }, (_, place) => `layer${place}.conv`);

  test("suggests the closest name and lists the others by similarity", () => {
    expect(hintOf("f1", ["conv", "fc1", "fc2"])).toBe('Did you mean "fc1"? Layers: fc1, fc2, conv.');
    expect(hintOf("fc9", ["conv", "fc1", "fc2"])).toBe("Layers: fc1, fc2, conv.");
    expect(hintOf("layer17.cnv", many)).toMatch(/^Did you mean "layer17.conv"\? Layers: layer17\.conv, .*, …\.$/);
  });

  test("lists names that contain the word first, and suggests nothing if none is similar", () => {
    expect(hintOf("17", many)).toMatch(/^Layers: layer17\.conv, /);
    expect(hintOf("head*", ["fc1", "fc1"])).toBe("Layers: fc1.");
    expect(hintOf("fc", [])).toBe("The model has no layers with a weight.");
  });
});
