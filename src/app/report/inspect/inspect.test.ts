import { describe, expect, test } from "vitest";
import { counting } from "../../../../test/counting.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { encodeToBytes } from "../../../core/onnx/encode.ts";
import { open } from "../../../core/onnx/index.ts";
import { linear, network } from "../../../learn/nn/index.ts";
import { quantize } from "../../../techniques/quantize/index.ts";
import { inspect } from "./inspect.ts";

const look = (text: string) => inspect(parseModel(text));

describe("quantized layers", () => {
  test("report their bits and the number of scales", async () => {
    const { layers } = await look(`opset 21
graph (x: float32[N, 2]) -> (y) {
  a_q: int8[2, 6] = [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]
  a_scale: float32[6] = random(seed 2)
  b_q: int4[6, 2] = [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]
  b_scale: float32[] = 0.5
  c: float32[2, 2] = random(seed 3)
  a = DequantizeLinear (a_q, a_scale) {axis=1}
  b = DequantizeLinear (b_q, b_scale)
  h = MatMul (x, a)
  k = MatMul (h, b)
  y = MatMul (k, c)
}`);
    expect(layers.map(({ bits, scales }) => [bits, scales])).toEqual([
      [8, 6],
      [4, 1],
      [undefined, undefined],
    ]);
  });
});

test.each([
  [{ weights: "palette", bits: 3 }, "palette of 3 bits [64, 32]", undefined],
  [{ weights: "palette", bits: 4 }, "palette of 4 bits [64, 32]", undefined],
  [{ weights: "palette", bits: 8 }, "palette of 8 bits [64, 32]", undefined],
  [{ bits: 4 }, "4 bits [64, 32]", 64],
  [{ bits: 8 }, "int8 [64, 32]", 64],
] as const)("reports the layer's shape and no sharing for a weight stored with %j", async (options, weight, scales) => {
  const model = network({ fc: linear(32, 64) }, { input: ["n", 32], seed: 1 });
  await quantize(model, { scheme: "weights", ...options });
  const { layers } = await inspect(model);
  expect(layers).toMatchObject([{ weight, bits: options.bits, sharedWith: [] }]);
  expect(layers[0]?.scales).toBe(scales);
});

test("lists the other nodes that read a shared weight", async () => {
  const { layers } = await look(`opset 21
graph (ids: int64[N], x: float32[N, 4]) -> (y, z) {
  w: float32[4, 4] = random(seed 1)
  e = Gather "embed" (w, ids) {axis=0}
  y = MatMul "first" (e, w)
  z = MatMul "second" (x, w)
}`);
  expect(layers.map(({ sharedWith }) => sharedWith)).toEqual([
    ['MatMul "first"', 'MatMul "second"'],
    ['Gather "embed"', 'MatMul "second"'],
    ['Gather "embed"', 'MatMul "first"'],
  ]);
});

test("lists at most eight other nodes that read a shared weight", async () => {
  const steps = Array.from({ length: 20 }, (_, step) => `  h${step + 1} = MatMul "step${step}" (h${step}, w)\n`);
  const { layers } = await look(`opset 21
graph (h0: float32[N, 4]) -> (h20) {
  w: float32[4, 4] = random(seed 1)
${steps.join("")}}`);
  expect(layers.map(({ sharedWith }) => sharedWith.length)).toEqual(new Array(20).fill(8));
  expect(layers[0]?.sharedWith.slice(0, 2)).toEqual(['MatMul "step1"', 'MatMul "step2"']);
});

test("counts subgraphs with their nodes and layers", async () => {
  const inspection = await look(`opset 21
graph (x: float32[2, 4], flag: bool[]) -> (y) {
  y = If (flag) {then_branch=graph () -> (a) {
    w: float32[4, 4] = random(seed 1)
    h = MatMul (x, w)
    a = Relu (h)
  }, else_branch=graph () -> (b) { b = Neg(x) }}
}`);
  expect(inspection.inside).toEqual({ graphs: 2, nodes: 3, layers: 1, inlineCommand: '`simplify set: "flag=…"`' });
  expect(inspection.layers.map(({ name, macs, cuttable }) => [name, macs?.count, cuttable])).toEqual([["h", 32, 0]]);
});

test("shares the MACs of a recurrent layer among its weights", async () => {
  const { layers, macs } = await look(`opset 21
graph (x: float32[10, N, 16]) -> (y) {
  w: float32[1, 96, 16] = random(seed 1)
  r: float32[1, 96, 32] = random(seed 2)
  y = GRU(x, w, r) {hidden_size=32}
}`);
  expect(layers.map((layer) => layer.macs)).toEqual([
    { count: 10 * 96 * 16, per: "N" },
    { count: 10 * 96 * 32, per: "N" },
  ]);
  expect(macs).toEqual({ count: 10 * 96 * 48, per: "N" });
});

test("lists an unknown operator once per node, with its domain", async () => {
  const { notUnderstood } = await look(`opset 21, org.example 1
graph (x: float32[2, 4], flag: bool[]) -> (y) {
  h = org.example.Magic "trick" (x)
  y: float32[2, 4] = If "choice" (flag) {then_branch=graph () -> (a) { a = org.example.Magic "again" (h) }, else_branch=graph () -> (b) { b = Neg(x) }}
}`);
  const magic = notUnderstood.filter(({ reason }) => reason === "Pith does not know this operator");
  expect(magic.map(({ at }) => at)).toEqual(['org.example.Magic "trick"', 'org.example.Magic "again"']);
  expect(notUnderstood.filter(({ at }) => at === undefined)).toEqual([]);
});

test("names weights that are also inputs of the graph", async () => {
  const model = parseModel(`opset 8
graph (x: float32[2, 4], w: float32[4, 2] = random(seed 1)) -> (y) {
  y = MatMul (x, w)
}`);
  const inspection = await inspect(model);
  expect(inspection.replaceable).toEqual(["w"]);
  expect(inspection.inputs.map(({ name }) => name)).toEqual(["x"]);
  expect(inspection.layers).toHaveLength(1);
});

test("reports the type of a float16 weight, and no savings for it", async () => {
  const { layers, savings } = await look(`opset 21
graph (x: float16[N, 4]) -> (y) {
  w: float16[4, 4] = random(seed 1)
  y = MatMul (x, w)
}`);
  expect(layers[0]?.weight).toBe("float16 [4, 4]");
  expect([savings.int8.layers, savings.float16.layers]).toEqual([0, 0]);
});

test("lists embedding tables by size with their bytes in 8 and 4 bits", async () => {
  const { savings } = await look(`opset 21
graph (ids: int64[N, T], places: int64[N, T]) -> (y, p) {
  embed.weight: float32[100, 64] = random(seed 1)
  odd.weight: float16[10, 6] = random(seed 2)
  turned = Transpose (embed.weight) {perm=[1, 0]}
  e = Gather (embed.weight, ids)
  again = Gather (embed.weight, places)
  p = Gather (odd.weight, places)
  h = Add (e, again)
  y = MatMul "head" (h, turned)
}`);
  expect(savings.tables).toEqual([
    // 8 bits: 64 quantized values, a scale and a zero point per row. 4 bits: 32 bytes, two scales, and two zero points in a byte.
    { layer: "embed", tied: ['MatMul "head"'], bytes: 25_600, int8: 100 * 69, int4: 100 * (32 + 8 + 1) },
    { layer: "odd", tied: [], bytes: 120, int8: 10 * 11, int4: undefined },
  ]);
});

describe("blocks", () => {
  const layer = (n: number): string => `
  a${n} = Gemm (h${n}, layers.${n}.up.weight)
  b${n} = Relu (a${n})
  c${n} = Gemm (b${n}, layers.${n}.down.weight)
  h${n + 1} = Add (h${n}, c${n})`;
  const weights = (n: number): string => `
  layers.${n}.up.weight: float32[4, 8] = random(seed ${2 * n})
  layers.${n}.down.weight: float32[8, 4] = random(seed ${2 * n + 1})`;
  const network = (count: number): string => {
    const numbers = Array.from({ length: count }, (_, n) => n);
    return `opset 21
graph (x: float32[N, 3]) -> (y) {
  stem.weight: float32[3, 4] = random(seed 100)
  head.weight: float32[4, 2] = random(seed 101)${numbers.map(weights).join("")}
  h0 = Gemm (x, stem.weight)${numbers.map(layer).join("")}
  y = Gemm (h${count}, head.weight)
}`;
  };

  test("report their names, layers and parameters if they repeat", async () => {
    const { blocks } = await look(network(3));
    expect(blocks.repeats).toEqual([{ first: 1, count: 3 }]);
    expect(blocks.all.map(({ name }) => name)).toEqual(["stem", "layers.0", "layers.1", "layers.2", "head"]);
    expect(blocks.all[2]).toMatchObject({
      nodes: 4,
      layers: ["layers.1.up", "layers.1.down"],
      parameters: 64,
      inputs: ["h1"],
      sides: [],
      outputs: ["h2"],
    });
    expect(new Set(blocks.all.map(({ kind }) => kind)).size).toBe(3);
  });

  test("are reported if they do not repeat, too", async () => {
    const { blocks } = await look(network(1));
    expect(blocks.all.map(({ name }) => name)).toEqual(["stem", "layers.0", "head"]);
  });
});

test("does not count tables of rotary positions as parameters of the model or its blocks", async () => {
  const angles = (wave: (angle: number) => number): string =>
    `[${Array.from({ length: 12 }, (_, t) => `[${[wave(t), wave(t / 100)].join(", ")}]`).join(", ")}]`;
  const inspection = await look(`opset 21
graph (x: float32[N, 3], at: int64[N]) -> (y) {
  w: float32[3, 2] = random(seed 1)
  cos: float32[12, 2] = ${angles(Math.cos)}
  sin: float32[12, 2] = ${angles(Math.sin)}
  h = MatMul (x, w)
  c = Gather (cos, at)
  s = Gather (sin, at)
  a = Mul (h, c)
  b = Mul (h, s)
  y = Add (a, b)
}`);
  expect(inspection.parameters).toBe(6);
  expect(inspection.stored[0]?.elements).toBe(6 + 2 * 24);
  expect(inspection.blocks.all.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(6);
});

test("counts channels as removable if prune can store a size that a weight determines", async () => {
  const network = (size: string): string => `opset 21
graph (x: float32[batch, 2, 4, 4], n: int64[1]) -> (y: float32[batch, 2, 4, 4]) {
  c1.weight: float32[4, 2, 1, 1] = random(seed 1)
  c2.weight: float32[2, 4, 1, 1] = random(seed 2)
  zero: float32[] = 0
  own = Shape (c1.weight) {start=0, end=1}
  bias = Expand (zero, ${size})
  h = Conv "c1" (x, c1.weight, bias)
  y = Conv "c2" (h, c2.weight)
}`;
  const cuttable = async (size: string) => (await look(network(size))).layers.map((layer) => layer.cuttable);
  expect(await cuttable("own")).toEqual([4, 0]);
  expect(await cuttable("n")).toEqual([0, 0]);
});

test("does not count channels as removable if they can only be removed together", async () => {
  const inspection = await look(`opset 21
graph (x: float32[batch, 3, 4, 4]) -> (y: float32[batch, 2, 4, 4]) {
  c1.weight: float32[1, 3, 1, 1] = random(seed 1)
  c2.weight: float32[2, 1, 1, 1] = random(seed 2)
  h = Conv "c1" (x, c1.weight)
  y = Conv "c2" (h, c2.weight)
}`);
  expect(inspection.savings.channels).toMatchObject({ layers: 0, cuttable: 0, channels: 3 });
  expect(inspection.layers[0]).toMatchObject({
    cuttable: 0,
    kept: { reason: "they can only be removed together, which would empty axis 0", at: "c1.weight" },
  });
});

test("does not change the model, and lists weights in Constant nodes as layers", async () => {
  const model = parseModel(`opset 21
graph (x: float32[N, 2]) -> (y) {
  w = Constant () {value=float32[2, 3] [[1, 2, 3], [4, 5, 6]]}
  y = MatMul "fc" (x, w)
}`);
  const before = await encodeToBytes(model);
  expect((await inspect(model)).layers).toMatchObject([{ name: "fc", weight: "float32 [2, 3]", parameters: 6 }]);
  expect(await encodeToBytes(model)).toEqual(before);
});

test("is exported from the root of the package", async () => {
  expect((await import("pith")).inspect).toBe(inspect);
});

test("reads only the first elements of large weights", async () => {
  const width = 512;
  const text = `opset 21
graph (ids: int64[N], x: float32[N, ${width}]) -> (y) {
  words: float32[${width}, ${width}] = random(seed 1)
  w: float32[${width}, ${width}] = random(seed 2)
  e = Gather (words, ids)
  s = Add (x, e)
  y = MatMul (s, w)
}`;
  const source = counting(await encodeToBytes(parseModel(text)));
  const { parameters } = await inspect(await open(source));
  expect(parameters).toBe(2 * width * width);
  expect(source.size).toBeGreaterThan(2e6);
  expect(source.total).toBeLessThan(60_000);
});
