import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { PithError } from "../errors.ts";
import { inMemory, viewBytes } from "../tensor/dense.ts";
import { bitsOf, type DataType, type Dense } from "../tensor/types.ts";
import type { Node } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import { Model } from "./model.ts";
import { parameter } from "./role.ts";
import { parseModel, printModel, printNode, printWholeModel } from "./text.ts";
import { fillTextOf } from "./text-tensor.ts";

const example = `opset 21, com.microsoft 1
graph (x: float32[batch, 784], flag: bool[]) -> (y: float32[batch, 10], s) {
  fc1.weight: float32[128, 784] parameter = random(seed 1)
  fc1.bias: float32[128] parameter = zeros
  fc1.mask: float32[128, 784] mask = ones
  fc1.copy: float32[784, 128] tied(fc1.weight, transposed) = random(seed 2)
  sizes: int64[3] = [64, 32, 32]
  half: float32[] = 0.5
  empty: float32[0] = []
  h: float32[batch, 128] = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1, alpha=1.0}
  a, _, c: straight-through = Split(h, sizes) {axis=1}
  clipped = Clip(c, _, half)
  t = com.microsoft.FusedMatMul "/layer.0/t" (a, clipped) {transA=0, alpha=0.1}
  y = If(flag) {then_branch=graph then () -> (z: float32[batch, 10]) {
    inner: float32[1] = [1]
    z = Mul(t, inner)
  }, else_branch=graph () -> (t) {
  }}
  s = Constant() {value=int64[2] [1, -1]}
}
`;

const body = (lines: string, inputs = "x: float32[2]", outputs = "x"): string =>
  `opset 21\ngraph (${inputs}) -> (${outputs}) {\n${lines}\n}\n`;

function onlyNode(text: string): Node {
  const [node] = parseModel(text).graph.nodes();
  if (node === undefined) throw new Error("no node");
  return node;
}

function attributeOf(value: string): Attribute | undefined {
  return onlyNode(body(`y = Op(x) {a=${value}}`)).attributes.get("a");
}

function failure(text: string): string {
  try {
    parseModel(text);
  } catch (error) {
    if (error instanceof PithError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "no failure";
}

describe("parseModel", () => {
  test("reads a text that printModel prints unchanged", () => {
    expect(printModel(parseModel(example))).toBe(example);
  });

  test("reads inputs, stored tensors, nodes, outputs and versions", () => {
    const { graph, opsets } = parseModel(example);
    expect([...opsets]).toEqual([
      ["", 21],
      ["com.microsoft", 1],
    ]);
    expect(graph.inputs.map((value) => value.name)).toEqual(["x", "flag"]);
    expect(graph.outputs.map((value) => value.name)).toEqual(["y", "s"]);
    expect(graph.value("sizes")?.tensor?.small).toEqual({
      type: "int64",
      dims: [3],
      data: BigInt64Array.of(64n, 32n, 32n),
    });
    expect(graph.value("fc1.weight")?.role).toEqual(parameter);
    expect(graph.value("fc1.copy")?.role).toEqual({ kind: "tied", name: "fc1.weight", transposed: true });
    expect(graph.value("c")?.role).toEqual({ kind: "straight-through" });
    expect([...graph.nodes()].map((node) => [node.domain, node.op, node.name])).toEqual([
      ["", "Gemm", "fc1"],
      ["", "Split", ""],
      ["", "Clip", ""],
      ["com.microsoft", "FusedMatMul", "/layer.0/t"],
      ["", "If", ""],
      ["", "Constant", ""],
    ]);
  });

  test("reads `_` as an absent input or output", () => {
    const { graph } = parseModel(example);
    expect(graph.value("c")?.producer?.outputs.map((value) => value?.name)).toEqual(["a", undefined, "c"]);
    expect(graph.value("clipped")?.producer?.inputs.map((value) => value?.name)).toEqual(["c", undefined, "half"]);
  });

  test("tells floats from ints by the decimal point", () => {
    expect(attributeOf("1")).toEqual({ kind: "int", value: 1 });
    expect(attributeOf("-3")).toEqual({ kind: "int", value: -3 });
    expect(attributeOf("9223372036854775807")).toEqual({ kind: "int", value: 9223372036854775807n });
    expect(attributeOf("1.0")).toEqual({ kind: "float", value: 1 });
    expect(attributeOf("1e-5")).toEqual({ kind: "float", value: Math.fround(1e-5) });
    expect(attributeOf("-inf")).toEqual({ kind: "float", value: Number.NEGATIVE_INFINITY });
    expect(attributeOf("nan")).toEqual({ kind: "float", value: Number.NaN });
    expect(attributeOf("[1, -2]")).toEqual({ kind: "ints", value: [1, -2] });
    expect(attributeOf("[]")).toEqual({ kind: "ints", value: [] });
    expect(attributeOf("[1.0, 0.5]")).toEqual({ kind: "floats", value: [1, 0.5] });
    expect(attributeOf("floats []")).toEqual({ kind: "floats", value: [] });
  });

  test("keeps the kind of strings, bytes, tensors and opaque attributes", () => {
    expect(attributeOf('"a \\"b\\"\\n"')).toEqual({ kind: "string", value: 'a "b"\n' });
    expect(attributeOf('["a", "b"]')).toEqual({ kind: "strings", value: ["a", "b"] });
    expect(attributeOf('bytes "00ff"')).toEqual({ kind: "string", value: Uint8Array.of(0, 255) });
    expect(attributeOf('opaque "0a03"')).toEqual({ kind: "opaque", value: Uint8Array.of(10, 3) });
    const tensor = attributeOf("float32[2] [1, 2.5]");
    expect(tensor?.kind === "tensor" && tensor.value.small).toEqual({
      type: "float32",
      dims: [2],
      data: Float32Array.of(1, 2.5),
    });
    const tensors = attributeOf("[int64[] 3, int64[1] [4]]");
    expect(tensors?.kind === "tensors" && tensors.value.map((item) => item.small?.data)).toEqual([
      BigInt64Array.of(3n),
      BigInt64Array.of(4n),
    ]);
    const graphs = attributeOf("[graph () -> (x) {}, graph () -> (x) {}]");
    expect(graphs?.kind === "graphs" && graphs.value.map((graph) => graph.outputs[0]?.name)).toEqual(["x", "x"]);
  });

  test("accepts a name before the line that stores or produces it", () => {
    const { graph } = parseModel(body("y = Add(h, w)\nh = Relu(x)\nw: float32[2] = [1, 2]", "x: float32[2]", "y"));
    expect(graph.value("y")?.producer?.inputs.map((value) => value?.producer?.op ?? value?.tensor?.type)).toEqual([
      "Relu",
      "float32",
    ]);
  });

  test("resolves names of a subgraph in the subgraph first, then in outer graphs", () => {
    const { graph } = parseModel(
      body(
        "y = If(flag) {then_branch=graph () -> (z) { z = Add(w, v); v: float32[2] = zeros }, else_branch=graph () -> (x) {}}\nw: float32[2] = ones",
        "x: float32[2], flag: bool[]",
        "y",
      ),
    );
    const branch = graph.value("y")?.producer?.attributes.get("then_branch");
    const inner = branch?.kind === "graph" ? branch.value : undefined;
    const [w, v] = inner?.value("z")?.producer?.inputs ?? [];
    expect(w?.graph).toBe(graph);
    expect(v?.graph).toBe(inner);
    expect(w?.uses.size).toBe(1);
  });

  test("reads and prints names that are not words in quotes", () => {
    const text = body(
      '  "1": float32[2] = [1, 2]\n  "_" = Add(x, "1")\n  onnx::Relu_3 = Relu "a b" ("_")\n  /layer/out = Neg(onnx::Relu_3)',
      undefined,
      "/layer/out",
    );
    expect(printModel(parseModel(text))).toBe(text);
  });

  test("does not read a name on the next line as a role", () => {
    const { graph } = parseModel(body("w: float32[2]\n  parameter = Relu(x)", undefined, "parameter"));
    expect(graph.value("w")?.role).toBeUndefined();
    expect(graph.value("parameter")?.producer?.op).toBe("Relu");
  });

  test("ignores comments up to the end of the line", () => {
    const { graph } = parseModel(body("# one\ny = Relu(x) // two\n// three", undefined, "y"));
    expect(graph.nodeCount).toBe(1);
  });

  test("keeps weights that old files list as inputs as both", () => {
    const text =
      "ir 3, opset 7\ngraph (x: float32[2], w: float32[2] parameter = [1, 2]) -> (y) {\n  y = Add(x, w)\n}\n";
    const model = parseModel(text);
    expect(model.graph.inputs.map((value) => value.name)).toEqual(["x", "w"]);
    expect(model.graph.feeds.map((value) => value.name)).toEqual(["x"]);
    expect(model.header.irVersion).toBe(3);
    expect(printModel(model)).toBe(text);
  });

  test("reads dimensions as numbers, names and polynomials", () => {
    const text = body("", 'x: float32[batch, 2*seq + 1, seq - 1, 3, "odd, name"], s: int64[], u: float32[...]');
    const { graph } = parseModel(text);
    expect(graph.value("u")?.type).toEqual({ type: "float32", dims: undefined });
    expect(graph.value("s")?.type).toEqual({ type: "int64", dims: [] });
    expect(printModel(parseModel(printModel(parseModel(text))))).toBe(printModel(parseModel(text)));
    expect(printModel(parseModel(text))).toContain('x: float32[batch, 2*seq + 1, seq - 1, 3, "odd, name"]');
  });

  test("fills tensors with equal values for equal seeds only", () => {
    const { graph } = parseModel(
      body(
        "a: float32[4, 100] = random(seed 1)\nb: float32[4, 100] = random(seed 1)\nc: float32[4, 100] = random(seed 2)",
      ),
    );
    const [a, b, c] = ["a", "b", "c"].map((name) => graph.value(name)?.tensor?.small?.data);
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  test("scales random weights to mean 0 and variance 1 / (elements per row)", async () => {
    const { graph } = parseModel(body("w: float32[50, 10, 20] = random(seed 1)"));
    const data = (await graph.value("w")?.tensor?.read())?.data as Float32Array;
    const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
    const variance = data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length;
    expect(Math.abs(mean)).toBeLessThan(0.003);
    expect(variance * 200).toBeGreaterThan(0.95);
    expect(variance * 200).toBeLessThan(1.05);
  });

  test("bounds random values by a range", () => {
    const { graph } = parseModel(
      body("v: float32[500] = random(seed 3, from 0.5 to 1.5)\nq: int8[500] = random(seed 3, from -2 to 3)"),
    );
    const v = Array.from(graph.value("v")?.tensor?.small?.data as Float32Array);
    expect(Math.min(...v)).toBeGreaterThanOrEqual(0.5);
    expect(Math.max(...v)).toBeLessThan(1.5);
    expect(new Set(graph.value("q")?.tensor?.small?.data as Int8Array)).toEqual(new Set([-2, -1, 0, 1, 2]));
  });

  test("writes `ones` in types that are stored as bits", () => {
    const { graph } = parseModel(body("h: float16[2] = ones\nb: bfloat16[1] = ones"));
    expect(graph.value("h")?.tensor?.small?.data).toEqual(Uint16Array.of(0x3c00, 0x3c00));
    expect(graph.value("b")?.tensor?.small?.data).toEqual(Uint16Array.of(0x3f80));
  });

  test("reads small floats as numbers or as bits", () => {
    const text = body(
      "  h: float16[4] = [1, -0.1, 65504, 0x7e01]\n  e: float4e2m1[3] = [0.5, -6, 1]\n  s: float8e8m0[1] = [0x7f]",
    );
    const { graph } = parseModel(text);
    expect(graph.value("h")?.tensor?.small?.data).toEqual(Uint16Array.of(0x3c00, 0xae66, 0x7bff, 0x7e01));
    expect(graph.value("e")?.tensor?.small?.data).toEqual(Uint8Array.of(0xf1, 0x02));
    expect(printModel(parseModel(printModel(parseModel(text))))).toBe(printModel(parseModel(text)));
  });

  test("reads nested brackets like flat ones", () => {
    const { graph } = parseModel(body("w: int32[2, 2] = [[1, 2], [3, 4]]"));
    expect(graph.value("w")?.tensor?.small?.data).toEqual(Int32Array.of(1, 2, 3, 4));
  });
});

describe("errors of parseModel", () => {
  test.each([
    ["a missing bracket", "opset 21\ngraph (x: float32[2] -> (x) {}", 'Line 2, column 22: expected ")", got "-".'],
    ["an unknown name", body("y = Relu(z)"), 'Line 3, column 10: nothing is called "z".'],
    ["an unknown output", body("", undefined, "q"), 'nothing is called "q"'],
    ["a second definition", body("y = Relu(x)\ny = Neg(x)"), 'Line 4, column 1: "y" is defined twice.'],
    ["a node that produces an input", body("x = Relu(x)"), 'Line 3, column 1: "x" is defined twice.'],
    ["too few elements", body("w: float32[3] = [1, 2]"), "Line 3, column 17: float32[3] has 3 elements, got 2."],
    [
      "a fraction for an integer",
      body("w: int32[1] = [1.5]"),
      "int32 holds integers from -2147483648 to 2147483647, got 1.5.",
    ],
    [
      "contents without fixed dimensions",
      body("w: float32[n] = [1]"),
      "a stored tensor needs a type with fixed dimensions",
    ],
    ["an unknown type", body("w: floaty[3] = [1]"), 'Line 3, column 4: expected a type or a role, got "floaty".'],
    ["ints and floats in one list", body("y = Op(x) {a=[1, 2.5]}"), "floats are written with a point (1.0)"],
    ["random integers without a range", body("w: int64[3] = random(seed 1)"), "random(seed 1) of int64 needs a range"],
    ["an end too early", "opset 21\ngraph () -> () {", "expected a name, got the end of the text"],
    [
      "text after the end",
      "opset 21\ngraph () -> () {}\nmore",
      'Line 3, column 1: expected the end of the text, got "more".',
    ],
  ])("names the line and the column of %s", (_, text, message) => {
    const seen = failure(text);
    expect(seen).toContain(message);
    expect(seen).toMatch(/^E_MODEL Line \d+, column \d+: /);
  });
});

describe("printModel", () => {
  test("prints the fill of a tensor if it has one, and otherwise its elements", () => {
    const { graph } = parseModel(example);
    const tensor = graph.value("fc1.weight")?.tensor;
    expect(tensor && fillTextOf(tensor)).toBe("random(seed 1)");
    const model = new Model();
    model.graph.addTensor("w", inMemory({ type: "float32", dims: [3], data: Float32Array.of(0.1, -0, Number.NaN) }));
    expect(printModel(model)).toBe("opset 21\ngraph () -> () {\n  w: float32[3] = [0.1, -0, nan]\n}\n");
  });

  test("rejects, abbreviates or reads a large tensor", async () => {
    const model = new Model();
    const data = Float32Array.from({ length: 3000 }, (_, index) => index / 7);
    model.graph.addTensor("w", inMemory({ type: "float32", dims: [3000], data }));
    expect(() => printModel(model)).toThrow("A tensor of 12000 bytes is too large to be printed without a fill.");
    expect(printModel(model, { abbreviate: true })).toContain("w: float32[3000] = …\n");
    const text = await printWholeModel(model);
    expect((await parseModel(text).graph.value("w")?.tensor?.read())?.data).toEqual(data);
    expect(await printWholeModel(parseModel(text))).toBe(text);
  });

  test("abbreviates contents with a fingerprint that is equal for equal contents only", () => {
    const text = (first: number): string => {
      const model = new Model();
      model.graph.addTensor(
        "w",
        inMemory({ type: "float32", dims: [100], data: new Float32Array(100).fill(1).fill(first, 0, 1) }),
      );
      return printModel(model, { abbreviate: true });
    };
    expect(text(1)).toMatch(/w: float32\[100\] = …\([\da-f]{8}\)\n/);
    expect(text(2)).toBe(text(2));
    expect(text(2)).not.toBe(text(1));
  });

  test("prints a single node", () => {
    expect(printNode(onlyNode(body('y: float32[2] = com.microsoft.Gelu "g" (x) {a=1}', undefined, "y")))).toBe(
      'y: float32[2] = com.microsoft.Gelu "g" (x) {a=1}',
    );
  });

  test("prints every element type without loss", () => {
    const types = (Object.keys(bitsOf) as Exclude<DataType, "string">[]).filter((type) => type !== "bool");
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ minLength: 16, maxLength: 64 }), (type, raw) => {
        const bytes = raw.slice(0, raw.length - (raw.length % 16));
        const dense = viewBytes(type, [(bytes.length * 8) / bitsOf[type]], bytes);
        const model = new Model();
        model.graph.addTensor("w", inMemory(dense));
        const back = parseModel(printModel(model)).graph.value("w")?.tensor?.small;
        expect(numbers(back)).toEqual(numbers(dense));
      }),
      { numRuns: 500 },
    );
  });
});

function numbers(dense: Dense | undefined): unknown[] {
  return Array.from<unknown>(dense?.data ?? []);
}
