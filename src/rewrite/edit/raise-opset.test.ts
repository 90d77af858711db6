import { describe, expect, it } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { raiseOpset } from "./raise-opset.ts";

const engine = createEngine();

async function runOnce(net: ReturnType<typeof parseModel>, feeds: Batch): Promise<Batch> {
  const session = await engine.load(net);
  const results = await session.run(feeds);
  await session.release();
  return results;
}

const model = (opset: number, nodes: string, header = "") =>
  parseModel(`opset ${opset}${header}\ngraph (x: float32[1, 2, 3]) -> (y) {\n${nodes}\n}`);

describe("raiseOpset", () => {
  it("does not change nodes with the same meaning in both versions", () => {
    const net = model(9, "  a = Relu (x)\n  y = Flatten (a) {axis=1}");
    raiseOpset(net, 21);
    expect([net.opsets.get(""), net.header.irVersion]).toEqual([21, 10]);
    expect([...net.graph.nodes()].map(({ op }) => op)).toEqual(["Relu", "Flatten"]);
    expect(verify(net)).toEqual([]);
  });

  it.each([
    ["Squeeze", 11, "y = Squeeze (x) {axes=[0]}", [0]],
    ["ReduceMean", 13, "y = ReduceMean (x) {axes=[-1], keepdims=0}", [-1]],
    ["Slice", 9, "y = Slice (x) {axes=[2], ends=[2], starts=[1]}", [1]],
  ])("moves the attribute of %s to the input that replaced it", (_, opset, node, first) => {
    const net = model(opset, `  ${node}`);
    raiseOpset(net, 21);
    const [moved] = net.graph.nodes();
    const small = moved?.inputs[1]?.tensor?.small;
    expect(Array.from(small?.data as BigInt64Array, Number)).toEqual(first);
    expect(moved?.attributes.has("axes")).toBe(false);
    expect(verify(net)).toEqual([]);
  });

  it.each([
    ["bilinear", "linear"],
    ["bicubic", "cubic"],
    ["nearest", "nearest"],
  ])("renames the mode %s of GridSample to %s with equal outputs", async (old, renamed) => {
    const graph = `graph (x: float32[1, 2, 3, 3], grid: float32[1, 2, 2, 2]) -> (y) { y = GridSample (x, grid) {mode="${old}"} }`;
    const net = parseModel(`opset 16\n${graph}`);
    const feeds = {
      x: float32(
        [1, 2, 3, 3],
        Float32Array.from({ length: 18 }, (_, index) => index * index),
      ),
      grid: float32([1, 2, 2, 2], [-0.9, 0.1, 0.3, 0.2, 0.7, -0.4, 0, 0.5]),
    };
    const before = await runOnce(net, feeds);
    raiseOpset(net, 21);
    expect(printModel(net)).toContain(`mode="${renamed}"`);
    expect(await runOnce(net, feeds)).toEqual(before);
  });

  it("writes the old default of RoiAlign as an attribute with equal outputs", async () => {
    const graph = `graph (x: float32[1, 1, h, w], boxes: float32[n, 4], images: int64[n]) -> (y) {
  y = RoiAlign (x, boxes, images) {output_height=2, output_width=2}\n}`;
    const net = parseModel(`opset 10\n${graph}`);
    const feeds = {
      x: float32(
        [1, 1, 5, 5],
        Float32Array.from({ length: 25 }, (_, index) => index * index),
      ),
      boxes: float32([1, 4], [0.3, 0.2, 3.1, 4]),
      images: int64([1], [0]),
    };
    const before = await runOnce(net, feeds);
    raiseOpset(net, 21);
    expect(printModel(net)).toContain('coordinate_transformation_mode="output_half_pixel"');
    expect(await runOnce(net, feeds)).toEqual(before);
  });

  it.each([
    ["both bounds", "y = Clip (x) {min=0.0, max=6.0}"],
    ["one bound, which float32 rounds", "y = Clip (x) {max=0.1}"],
    ["infinite bounds", "y = Clip (x) {min=-inf, max=inf}"],
    ["no bounds", "y = Clip (x)"],
  ])("converts a Clip with %s", async (_, node) => {
    const net = model(9, `  ${node}`);
    const feeds = { x: float32([1, 2, 3], [3, 7, -2, 0.1, 0, Number.POSITIVE_INFINITY]) };
    const expected = await runOnce(net.clone(), feeds);
    raiseOpset(net, 21);
    expect(verify(net)).toEqual([]);
    expect(await runOnce(net, feeds)).toEqual(expected);
  });

  it.each([
    [
      "Gemm",
      "b: float32[3, 4] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\n c: float32[4] = [1, 2, 3, 4]\n y = Gemm (x, b, c) {broadcast=1}",
    ],
    ["Add", "c: float32[3] = [1, 2, 3]\n y = Add (x, c) {axis=1, broadcast=1}"],
    ["Relu", "y = Relu (x) {consumed_inputs=[0]}"],
  ])("drops attributes of old versions without effect: %s", async (name, nodes) => {
    const net = parseModel(`opset ${name === "Relu" ? 1 : 6}\ngraph (x: float32[2, 3]) -> (y) {\n ${nodes}\n}`);
    raiseOpset(net, 21);
    expect(verify(net)).toEqual([]);
    expect([...net.graph.nodes()].flatMap(({ attributes }) => [...attributes.keys()])).toEqual([]);
    const { y } = await runOnce(net, { x: float32([2, 3], [1, 0, 0, 0, -1, 0]) });
    expect(Array.from(y?.data as Float32Array)).toEqual(
      { Gemm: [2, 4, 6, 8, -4, -4, -4, -4], Add: [2, 2, 3, 1, 1, 3], Relu: [1, 0, 0, 0, 0, 0] }[name],
    );
  });

  describe("for a batch normalization", () => {
    const normalization = (opset: number, attributes: string): ReturnType<typeof parseModel> =>
      parseModel(`opset ${opset}
graph (x: float32[1, 2, 3]) -> (y) {
  scale: float32[2] = [1, 2]
  bias: float32[2] = [0, 1]
  mean: float32[2] = [0.5, -1]
  variance: float32[2] = [1, 4]
  y = BatchNormalization (x, scale, bias, mean, variance) {${attributes}}
}`);
    const feeds = { x: float32([1, 2, 3], [3, 1, 2, -1, 0, 5]) };

    it.each([
      [6, "is_test=1, spatial=1"],
      [7, "spatial=1"],
      [8, "spatial=1, momentum=0.8"],
    ])("of opset %i drops attributes that newer versions imply: %s", async (opset, attributes) => {
      const net = normalization(opset, attributes);
      raiseOpset(net, 13);
      expect(verify(net)).toEqual([]);
      expect(await runOnce(net, feeds)).toEqual(await runOnce(normalization(9, ""), feeds));
    });

    it("writes primitives if newer versions lack the mode", () => {
      const net = normalization(8, "spatial=0");
      raiseOpset(net, 13);
      expect([...net.graph.nodes()].map(({ op }) => op)).not.toContain("BatchNormalization");
    });
  });

  describe("with an unknown rank", () => {
    const afterReshape = (opset: number, nodes: string): ReturnType<typeof parseModel> =>
      parseModel(`opset ${opset}\ngraph (x: float32[1, 2, 3], s: int64[k], at: int64[1]) -> (y) {
  a = Reshape (x, s)\n  ${nodes}\n}`);
    const feeds = { x: float32([1, 2, 3], [3, 1, 2, -1, 0, 5]), s: int64([3], [1, 2, 3]), at: int64([1], [0]) };

    it.each([
      [9, "y = Slice (a) {axes=[2, 1], starts=[1, 0], ends=[3, 1]}"],
      [9, "y = Slice (a) {axes=[2], starts=[-1], ends=[9223372036854775807]}"],
      [11, "from: int64[1] = [1]\n  to: int64[1] = [3]\n  axes: int64[1] = [-1]\n  y = Slice (a, from, to, axes)"],
      [13, "y = Squeeze (a, at)"],
      [11, "y = Squeeze (a) {axes=[0]}"],
    ])("converts nodes with the same meaning for every rank: opset %i, %s", async (opset, nodes) => {
      const net = afterReshape(opset, nodes);
      const before = await runOnce(net.clone(), feeds);
      raiseOpset(net, 21);
      expect(verify(net)).toEqual([]);
      expect(await runOnce(net, feeds)).toEqual(before);
    });

    it("rejects a node whose meaning depends on the rank", () => {
      expect(() => raiseOpset(afterReshape(17, "y = DFT (a)"), 21)).toThrow("its defaults changed between the opsets");
    });
  });

  it("uses the default axis of the old version", async () => {
    const net = parseModel("opset 11\ngraph (x: float32[1, 3, 1, 1]) -> (y) {\n  y = Softmax (x)\n}");
    const feeds = { x: float32([1, 3, 1, 1], [3, 1, 2]) };
    const before = await runOnce(net.clone(), feeds);
    raiseOpset(net, 21);
    expect(await runOnce(net, feeds)).toEqual(before);
  });

  it("rejects broadcast attributes that align an operand with inner axes", () => {
    const net = model(6, "  c: float32[2] = [1, 2]\n  y = Add (x, c) {axis=1, broadcast=1}");
    expect(() => raiseOpset(net, 21)).toThrow(/broadcasts along inner axes/);
  });

  it("keeps a sparse constant", () => {
    const net = model(12, "  c = Constant () {value_float=1.0}\n  y = Add (x, c)");
    const [constant] = net.graph.nodes();
    if (constant === undefined) throw new Error("there is no node");
    net.graph.setAttribute(constant, "value_float", undefined);
    net.graph.setAttribute(constant, "sparse_value", { kind: "opaque", value: new Uint8Array(0) });
    raiseOpset(net, 18);
    expect(constant.attributes.get("sparse_value")?.kind).toBe("opaque");
  });

  it("writes bounds of a Clip in the type of its input", () => {
    const net = parseModel("opset 7\ngraph (x: float16[2]) -> (y) {\n  y = Clip (x) {min=0.0, max=6.0}\n}");
    raiseOpset(net, 21);
    const [clip] = net.graph.nodes();
    expect(clip?.inputs.map((input) => input?.type?.type)).toEqual(["float16", "float16", "float16"]);
    expect(verify(net)).toEqual([]);
  });

  describe.each([9, 10])("resizing of opset %i has equal outputs after conversion", (opset) => {
    const name = opset === 9 ? "Upsample" : "Resize";
    it.each([
      ["nearest, longer", "nearest", "[1.0, 1.0, 2.0, 1.5]"],
      ["nearest, shorter", "nearest", "[1.0, 1.0, 0.5, 0.4]"],
      ["nearest, one longer and one shorter", "nearest", "[1.0, 1.0, 2.0, 0.5]"],
      ["linear", "linear", "[1.0, 1.0, 2.0, 3.0]"],
      ["linear, shorter", "linear", "[1.0, 1.0, 0.5, 0.6]"],
    ])("%s", async (what, mode, scales) => {
      // Upsample does not accept a scale below 1.
      if (name === "Upsample" && /shorter/.test(what)) return;
      const mixed = what.includes("one longer");
      // One longer and one shorter axis are written as primitives, which require fixed sizes.
      const net = parseModel(`opset ${opset}
graph (x: float32[${mixed ? "2, 2, 6" : "batch, 2, height"}, 5]) -> (y) {
  s: float32[4] = ${scales}
  y = ${name} (x, s) {mode="${mode}"}
}`);
      const feeds = {
        x: float32(
          [2, 2, 6, 5],
          Array.from({ length: 120 }, (_, index) => Math.sin(index)),
        ),
      };
      const expected = await runOnce(net.clone(), feeds);
      raiseOpset(net, 18);
      expect(verify(net)).toEqual([]);
      const { y } = await runOnce(net, feeds);
      expect(y?.dims).toEqual(expected.y?.dims);
      for (const [index, value] of Array.from(y?.data ?? [], Number).entries())
        expect(value).toBeCloseTo(Number(expected.y?.data[index]), 5);
    });
  });

  it("converts computed scales only if the operator or mode allows no scale below 1", () => {
    const computed = (opset: number, op: string, mode: string) =>
      parseModel(`opset ${opset}
graph (x: float32[batch, 2, height, width], s: float32[4]) -> (y) {
  y = ${op} (x, s) {mode="${mode}"}
}`);
    for (const [opset, op, mode] of [
      [9, "Upsample", "nearest"],
      [9, "Upsample", "linear"],
      [10, "Resize", "linear"],
    ] as const) {
      const net = computed(opset, op, mode);
      raiseOpset(net, 13);
      expect([...net.graph.nodes()].map((node) => node.op)).toEqual(["Resize"]);
      expect(verify(net)).toEqual([]);
    }
    expect(() => raiseOpset(computed(10, "Resize", "nearest"), 13)).toThrow(/cannot be converted from opset 10 to 13/);
  });

  it.each([11, 13])("writes the number of outputs of a Split without sizes: opset %i", async (opset) => {
    const net = parseModel(`opset ${opset}\ngraph (x: float32[4]) -> (y, z) {\n  y, z = Split (x)\n}`);
    raiseOpset(net, 18);
    const { y, z } = await runOnce(net, { x: float32([4], [1, 2, 3, 4]) });
    expect([y?.data, z?.data].map((data) => Array.from(data ?? [], Number))).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  it("does not change operators that no specification contains", () => {
    const net = model(10, "  a: float32[n, 4] = RequantShift (x) {shift=3}\n  y = Relu (a)");
    raiseOpset(net, 18);
    expect(net.opsets.get("")).toBe(18);
    expect([...net.graph.nodes()].map(({ op }) => op)).toEqual(["RequantShift", "Relu"]);
  });

  it("rejects a default whose meaning changed, and restores the model", () => {
    const net = parseModel(`opset 10
graph (x: float32[1, 2, 3], s: float32[3]) -> (y) {
  a = Softmax (x)
  y = Resize (a, s) {mode="nearest"}
}`);
    infer(net);
    const before = printModel(net);
    expect(() => raiseOpset(net, 13)).toThrow(/Resize "y" cannot be converted from opset 10 to 13/);
    expect(printModel(net)).toBe(before);
  });

  it.each([
    ["Softmax over several axes", 11, "y = Softmax (x)", ["Flatten", "Softmax", "Shape", "Reshape"]],
    [
      "Softmax whose flattened axes have one size above 1",
      11,
      "a: int64[2] = [2, 3]\n  z: int64[1] = [1]\n  f = Reshape (x, a)\n  u = Unsqueeze (f) {axes=[1]}\n  y = Softmax (u) {axis=1}",
      ["Reshape", "Unsqueeze", "Flatten", "Softmax", "Shape", "Reshape"],
    ],
    ["Hardmax over several axes", 11, "y = Hardmax (x)", ["Flatten", "Hardmax", "Shape", "Reshape"]],
    [
      "Scatter",
      10,
      "i: int64[1, 1, 1] = [1]\n  u: float32[1, 1, 1] = [7]\n  y = Scatter (x, i, u) {axis=2}",
      ["ScatterElements"],
    ],
  ])("writes %s as primitives of the newer set", async (_, opset, nodes, expected) => {
    const net = model(opset, `  ${nodes}`);
    const before = net.clone();
    raiseOpset(net, 18);
    expect([...net.graph.nodes()].map(({ op }) => op)).toEqual(expected);
    expect(verify(net)).toEqual([]);
    const feeds = { x: float32([1, 2, 3], [3, 1, 2, -1, 0, 5]) };
    const [old, now] = [await runOnce(before, feeds), await runOnce(net, feeds)];
    expect(now).toEqual(old);
  });

  it.each(["Softmax", "LogSoftmax", "Hardmax"])("keeps the meaning of %s if the rank is unknown", async (op) => {
    const net = parseModel(`opset 11
graph (x: float32[1, 2, 3], s: int64[k]) -> (y) {
  a = Reshape (x, s)
  y = ${op} (a)
}`);
    const before = net.clone();
    raiseOpset(net, 13);
    const feeds = { x: float32([1, 2, 3], [3, 1, 2, -1, 0, 5]), s: int64([3], [1, 2, 3]) };
    expect(await runOnce(net, feeds)).toEqual(await runOnce(before, feeds));
  });

  it("does not change a model of a higher opset", () => {
    const net = model(21, "  y = Relu (x)");
    raiseOpset(net, 13);
    expect(net.opsets.get("")).toBe(21);
  });

  it("removes weights from the inputs of IR version 3", () => {
    const net = parseModel(`ir 3, opset 8
graph (x: float32[1, 2], w: float32[2, 2] = [1, 2, 3, 4]) -> (y) {
  y = MatMul (x, w)
}`);
    raiseOpset(net, 13);
    expect(net.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    expect(net.graph.value("w")?.tensor).toBeDefined();
  });
});

it("marks a model as changed whose nodes stay the same", () => {
  const model = parseModel("opset 17\ngraph (x: float32[2]) -> (y) {\n  y = Relu(x)\n}");
  const { revision } = model.graph;
  raiseOpset(model, 21);
  expect(model.graph.revision).not.toBe(revision);
});
