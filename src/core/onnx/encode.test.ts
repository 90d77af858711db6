import { describe, expect, test } from "vitest";
import { hex, message, richModel } from "../../../test/core/onnx/messages.ts";
import { Graph } from "../graph/graph.ts";
import { Model } from "../graph/model.ts";
import { parseModel, printModel, printWholeModel } from "../graph/text.ts";
import { float32, inMemory, int64 } from "../tensor/dense.ts";
import { symbol } from "../tensor/dims.ts";
import { encodedSize, encodedSource, encodeToBytes } from "./encode.ts";
import {
  attributeFields,
  graphFields,
  modelFields,
  nodeFields,
  opsetFields,
  sparseFields,
  tensorFields,
  typeFields,
  valueInfoFields,
} from "./field-numbers.ts";
import { open } from "./index.ts";
import type { Writer } from "./writer.ts";

const { float: floatType, int: intType } = { float: 1, int: 2 };

describe("encode", () => {
  test("writes a model that opens with the same contents", async () => {
    const model = richModel();
    const again = await open(await encodeToBytes(model));
    // Tensors with a recipe would print as the recipe.
    for (const value of model.graph.values())
      if (value.tensor !== undefined) value.tensor = inMemory(await value.tensor.read());
    expect(printModel(again, { abbreviate: true })).toBe(printModel(model, { abbreviate: true }));
    expect((await printWholeModel(again)) === (await printWholeModel(model))).toBe(true);
    expect(again.header).toMatchObject({ producerName: "test", doc: "a model", irVersion: model.header.irVersion });
    expect([...again.header.metadata]).toEqual([["author", "nobody"]]);
    expect([...(again.graph.value("h")?.metadata ?? [])]).toEqual([["note", "after the first layer"]]);
    const [first] = again.graph.nodes();
    expect([first?.doc, first?.metadata.get("pass")]).toEqual(["a node", "test"]);
  });

  test("gives a source whose ranges can be read in any order", async () => {
    const model = parseModel(`opset 17
graph (x: float32[2, 64]) -> (y: float32[2, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  b.weight: float32[64, 64] = random(seed 2)
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`);
    const [bytes, source] = [await encodeToBytes(model), await encodedSource(model)];
    expect(source.size).toBe(bytes.length);
    for (const [start, end] of [
      [20_000, bytes.length],
      [0, bytes.length],
      [17, 17],
      [100, 30_000],
    ] as const)
      expect(await source.read(start, end)).toEqual(bytes.subarray(start, end));
  });

  test("keeps roles, in the metadata of tensors and of values", async () => {
    const again = await open(await encodeToBytes(richModel()));
    const role = (name: string) => again.graph.value(name)?.role;
    expect(role("conv.weight")).toEqual({ kind: "parameter" });
    expect(role("mask")).toEqual({ kind: "mask" });
    expect(role("fc")).toEqual({ kind: "tied", name: "head.weight", transposed: true });
    expect(role("masked")).toEqual({ kind: "straight-through" });
    expect(again.graph.value("masked")?.metadata.size).toBe(0);
  });

  test("writes an opened model and its clone byte for byte the same", async () => {
    const first = await encodeToBytes(richModel());
    const opened = await open(first);
    expect(hex(await encodeToBytes(opened))).toBe(hex(first));
    expect(hex(await encodeToBytes(opened.clone()))).toBe(hex(first));
    expect(await encodedSize(opened)).toBe(first.byteLength);
  });

  test("writes declared types, but not inferred ones", async () => {
    const graph = new Graph();
    const x = graph.addInput("x", { type: "float32", dims: [2] });
    const relu = graph.addNode({ op: "Relu", inputs: [x], outputs: ["a"] });
    const [a] = relu.outputs;
    const neg = graph.addNode({ op: "Neg", inputs: [a], outputs: ["b"] });
    const [b] = neg.outputs;
    const last = graph.addNode({ op: "Abs", inputs: [b], outputs: ["y"] });
    graph.setOutputs(last.outputs.flatMap((value) => value ?? []));
    for (const value of graph.values()) value.type = { type: "float32", dims: [2] };
    if (b !== undefined) b.declared = true;
    const again = (await open(await encodeToBytes(new Model(graph)))).graph;
    expect([...again.values()].map(({ name, type }) => [name, type !== undefined])).toEqual([
      ["x", true],
      ["b", true],
      ["a", false],
      ["y", true],
    ]);
  });

  test("writes omitted optional inputs and outputs and keeps positions", async () => {
    const graph = new Graph();
    const x = graph.addInput("x", { type: "float32", dims: [2] });
    const max = graph.addTensor("max", inMemory(float32([], [1])));
    graph.addNode({ op: "Clip", inputs: [x, undefined, max], outputs: ["y"] });
    graph.addNode({ op: "Dropout", inputs: [x], outputs: [undefined, "m"] });
    const [clip, dropout] = (await open(await encodeToBytes(new Model(graph)))).graph.nodes();
    expect(clip?.inputs.map((value) => value?.name)).toEqual(["x", undefined, "max"]);
    expect(dropout?.outputs.map((value) => value?.name)).toEqual([undefined, "m"]);
  });

  test("writes a tensor that replaced another under the same name", async () => {
    const model = await open(await encodeToBytes(richModel()));
    const value = model.graph.value("fc");
    if (value === undefined) throw new Error("missing");
    value.tensor = inMemory(float32([2, 2], [1, 2, 3, 4]));
    value.type = { type: "float32", dims: [2, 2] };
    const again = (await open(await encodeToBytes(model))).graph.value("fc");
    expect((await again?.tensor?.read())?.data).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(again?.role).toEqual({ kind: "tied", name: "head.weight", transposed: true });
  });

  test("keeps attributes of every kind, including large integers and bytes that are not text", async () => {
    const graph = new Graph();
    graph.addNode({
      op: "Anything",
      domain: "com.example",
      inputs: [],
      attributes: {
        a: { kind: "int", value: 2n ** 63n - 1n },
        b: { kind: "ints", value: [1, -1, -(2n ** 63n)] },
        c: { kind: "string", value: Uint8Array.of(0xff, 0) },
        d: { kind: "strings", value: ["", "ü", Uint8Array.of(0x80)] },
        e: { kind: "floats", value: [] },
        f: { kind: "tensors", value: [inMemory(int64([1], [5])), inMemory(float32([], [2]))] },
        g: { kind: "float", value: -0.5 },
      },
    });
    const [node] = (await open(await encodeToBytes(new Model(graph)))).graph.nodes();
    const plain = [...(node?.attributes ?? [])].filter(([name]) => name !== "f");
    expect(plain).toEqual([
      ["a", { kind: "int", value: 2n ** 63n - 1n }],
      ["b", { kind: "ints", value: [1, -1, -(2n ** 63n)] }],
      ["c", { kind: "string", value: Uint8Array.of(0xff, 0) }],
      ["d", { kind: "strings", value: ["", "ü", Uint8Array.of(0x80)] }],
      ["e", { kind: "floats", value: [] }],
      ["g", { kind: "float", value: -0.5 }],
    ]);
    const tensors = node?.attributes.get("f");
    const read = tensors?.kind === "tensors" ? tensors.value.map(({ small }) => small?.data) : [];
    expect(read).toEqual([BigInt64Array.of(5n), Float32Array.of(2)]);
  });
});

describe("encode and open on uninterpreted contents", () => {
  /** Builds a model like other tools: explicit defaults, unknown fields, and values that are not tensors. */
  function foreignModel(): Promise<Uint8Array> {
    const sequence = (type: Writer): void =>
      type.message(4, (sequence) => sequence.message(1, (element) => element.message(1, (t) => t.integer(1, 1))));
    return message((model) => {
      model.integer(modelFields.irVersion, 8);
      model.text(modelFields.producerName, "");
      model.text(modelFields.domain, "");
      model.integer(modelFields.modelVersion, 0);
      model.text(modelFields.doc, "");
      model.message(modelFields.graph, (graph) => {
        graph.message(graphFields.node, (node) => {
          node.text(nodeFields.input, "s");
          node.text(nodeFields.input, "sparse");
          node.text(nodeFields.output, "y");
          node.text(nodeFields.name, "");
          node.text(nodeFields.op, "Example");
          node.message(nodeFields.attribute, (attribute) => {
            attribute.text(attributeFields.name, "packed");
            attribute.bytes(attributeFields.ints, Uint8Array.of(1, 2, 3));
            attribute.text(attributeFields.doc, "why");
            attribute.integer(attributeFields.type, 7);
          });
          node.message(nodeFields.attribute, (attribute) => {
            attribute.text(attributeFields.name, "a type");
            attribute.message(attributeFields.valueType, sequence);
            attribute.integer(attributeFields.type, 13);
          });
          node.text(nodeFields.domain, "ai.onnx");
          node.message(nodeFields.deviceConfigurations, (device) => device.text(1, "gpu"));
          node.text(99, "future");
        });
        graph.text(graphFields.name, "");
        graph.message(graphFields.input, (input) => {
          input.text(valueInfoFields.name, "s");
          input.message(valueInfoFields.type, sequence);
        });
        graph.message(graphFields.output, (output) => {
          output.text(valueInfoFields.name, "y");
          output.message(valueInfoFields.type, (type) => {
            type.message(typeFields.tensor, (tensor) => {
              tensor.integer(1, 1);
              tensor.message(2, (shape) => {
                shape.message(1, (dim) => {
                  dim.text(2, "N");
                  dim.text(3, "DATA_BATCH");
                });
                shape.message(1, () => {});
                shape.message(1, (dim) => dim.integer(1, -1));
                shape.message(1, (dim) => dim.text(2, "?"));
              });
            });
            type.text(typeFields.denotation, "IMAGE");
          });
        });
        graph.message(graphFields.quantizationAnnotation, (annotation) => annotation.text(1, "y"));
        graph.message(graphFields.sparseInitializer, (sparse) => {
          sparse.message(sparseFields.values, (values) => {
            values.integer(tensorFields.dims, 1);
            values.integer(tensorFields.type, floatType);
            values.text(tensorFields.name, "sparse");
            values.bytes(tensorFields.rawData, new Uint8Array(4));
          });
          sparse.message(sparseFields.indices, (indices) => {
            indices.integer(tensorFields.dims, 1);
            indices.integer(tensorFields.type, 7);
            indices.bytes(tensorFields.rawData, new Uint8Array(8));
          });
          sparse.integer(sparseFields.dims, 100);
        });
      });
      model.message(modelFields.opsetImport, (opset) => {
        opset.text(opsetFields.domain, "");
        opset.integer(opsetFields.version, 17);
      });
      model.message(modelFields.trainingInfo, (training) => training.text(5, "training"));
      model.message(modelFields.functions, (definition) => definition.text(1, "Function"));
      model.message(modelFields.configuration, (device) => device.text(1, "gpu"));
    });
  }

  test("keeps every byte, in a clone too", async () => {
    const bytes = await foreignModel();
    const model = await open(bytes);
    expect(hex(await encodeToBytes(model))).toBe(hex(bytes));
    expect(hex(await encodeToBytes(model.clone()))).toBe(hex(bytes));
  });

  test("reads the parts that Pith interprets", async () => {
    const { graph, opsets, header } = await open(await foreignModel());
    const [node] = graph.nodes();
    expect([node?.domain, node?.op, opsets.get("")]).toEqual(["", "Example", 17]);
    expect(node?.attributes.get("packed")).toEqual({ kind: "ints", value: [1, 2, 3] });
    expect(node?.attributes.get("a type")?.kind).toBe("opaque");
    expect(graph.value("s")?.type).toBeUndefined();
    expect(graph.value("sparse")?.type).toEqual({ type: "float32", dims: [100] });
    expect(graph.value("y")?.type?.dims).toEqual([symbol("N"), symbol("?y.1"), symbol("?y.2"), symbol("?y.3")]);
    expect(header.functions.length).toBe(1);
  });

  test("keeps the contents of a renamed sparse tensor", async () => {
    const model = await open(await foreignModel());
    const sparse = model.graph.value("sparse");
    if (sparse !== undefined) model.graph.rename(sparse, "renamed");
    const again = await open(await encodeToBytes(model));
    expect(again.graph.value("renamed")?.type).toEqual({ type: "float32", dims: [100] });
    expect(again.graph.value("sparse")).toBeUndefined();
  });

  test("replaces fields that were set again", async () => {
    const model = await open(await foreignModel());
    const [node] = model.graph.nodes();
    if (node !== undefined) node.name = "named";
    model.header.producerName = "pith";
    model.header.opsets.set("", 18);
    const again = await open(await encodeToBytes(model));
    expect([...again.graph.nodes()].map(({ name }) => name)).toEqual(["named"]);
    expect([again.header.producerName, again.opsets.get("")]).toEqual(["pith", 18]);
  });
});

describe("encode and open on unknown dimensions", () => {
  test("keeps unknown dimensions distinct, and writes new symbols as unknown", async () => {
    const graph = new Graph();
    const unknown = symbol("?x.0");
    graph.addInput("x", { type: "float32", dims: [unknown, symbol("n")] });
    graph.addInput("y", { type: "float32", dims: [symbol("2*?x.0 + 1"), 3] });
    const again = (await open(await encodeToBytes(new Model(graph)))).graph;
    expect(again.value("x")?.type?.dims).toEqual([symbol("?x.0"), symbol("n")]);
    expect(again.value("y")?.type?.dims).toEqual([symbol("?y.0"), 3]);
  });
});

test("open infers the type of an attribute without a type field", async () => {
  const bytes = await message((model) => {
    model.integer(modelFields.irVersion, 2);
    model.message(modelFields.graph, (graph) =>
      graph.message(graphFields.node, (node) => {
        node.text(nodeFields.output, "y");
        node.text(nodeFields.op, "Example");
        node.message(nodeFields.attribute, (attribute) => {
          attribute.text(attributeFields.name, "axis");
          attribute.integer(attributeFields.int, intType);
        });
      }),
    );
  });
  const [node] = (await open(bytes)).graph.nodes();
  expect(node?.attributes.get("axis")).toEqual({ kind: "int", value: 2 });
});
