/** A matrix that a layer shares with an embedding table is not stored twice without a note. */
import { expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

const network = (head: string): Model =>
  parseModel(`opset 17
graph (ids: int64[batch, time]) -> (logits) {
  table: float32[64, 16] = random(seed 1)
  up: float32[16, 16] = random(seed 2)
  e = Gather "embedding" (table, ids)
  h = MatMul "layer" (e, up)
  ${head}
}`);

const turned = 't = Transpose (table) {perm=[1, 0]}\n  logits = MatMul "head" (h, t)';
const flat = 's: int64[2] = [-1, 16]\n  r = Reshape (h, s)\n  logits = Gemm "head" (r, table) {transB=1}';
const ids = fromNumbers(
  "int64",
  [4, 6],
  Array.from({ length: 24 }, (_, at) => (at * 7) % 64),
);

const loaded = async (model: Model): Promise<Float64Array> => {
  const session = await createEngine().load(model);
  const { logits } = await session.run({ ids });
  await session.release();
  if (logits === undefined) throw new Error("no output");
  return toFloat64(logits);
};

test.each([
  ["transposed", turned, {}],
  ["directly", flat, {}],
  ["transposed", turned, { weights: "uint8" }],
  ["transposed", turned, { perChannel: false }],
  ["directly", flat, { perChannel: false }],
] as const)("weights: stores a table and its tied last layer once: read %s, %#", async (_, head, options) => {
  const model = network(head);
  const before = await loaded(model);
  const { changes, misses } = await quantize(model, { scheme: "weights", ...options });
  expect([changes.map(({ at }) => at), misses]).toEqual([["embedding", "layer", "head"], []]);
  expect(verify(model)).toEqual([]);
  const type = "weights" in options ? options.weights : "int8";
  const codes = [...model.graph.values()].filter(({ tensor }) => tensor?.type === type && tensor.bytes === 64 * 16);
  expect(codes).toHaveLength(1);
  const after = await loaded(await open(await encodeToBytes(model)));
  const noise = Math.sqrt(after.reduce((sum, value, at) => sum + (value - (before[at] ?? 0)) ** 2, 0));
  const signal = Math.sqrt(before.reduce((sum, value) => sum + value ** 2, 0));
  expect(noise / signal).toBeLessThan(0.02);
});

test.each(["head", "embedding"])(
  "weights: skips a tied matrix if only %s is selected, with the reason",
  async (layer) => {
    const other = layer === "head" ? 'Gather "embedding"' : 'MatMul "head"';
    const { changes, misses } = await quantize(network(turned), { scheme: "weights", layers: layer });
    expect([changes, misses.map(({ reason }) => reason)]).toEqual([
      [],
      [`${other} also reads the matrix in float: an integer copy would make the file larger`],
    ]);
  },
);

test("weights: skips a table and a layer that reads it scaled", async () => {
  const model = network(
    'k: float32[] = [0.25]\n  s = Mul (table, k)\n  t = Transpose (s) {perm=[1, 0]}\n  logits = MatMul "head" (h, t)',
  );
  const { changes, misses } = await quantize(model, { scheme: "weights" });
  expect([changes.map(({ at }) => at), misses.map(({ at }) => at)]).toEqual([["layer"], ["embedding", "head"]]);
});

test("does not change a model without other layers to quantize", async () => {
  const model = network(turned);
  const before = structureHash(model);
  await quantize(model, { scheme: "weights", layers: "head" });
  expect(structureHash(model)).toBe(before);
});

test.each([turned, flat])("dynamic: stores a table and its tied last layer once: %s", async (head) => {
  const model = network(head);
  const before = await loaded(model);
  const { changes } = await quantize(model, { scheme: "dynamic" });
  expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual([
    "embedding: weight as int8, a scale per row",
    "layer: integer arithmetic, weight as int8, a scale per output channel",
    "head: integer arithmetic, weight as int8, a scale per output channel",
  ]);
  expect(verify(model)).toEqual([]);
  // 64 · 16 + 16 · 16 quantized values, their scales, and nodes.
  expect((await encodeToBytes(model)).length).toBeLessThan(64 * 16 + 16 * 16 + 4 * 80 + 2000);
  expect([...model.graph.values()].filter(({ tensor }) => tensor?.dims.join() === "64,16")).toHaveLength(1);
  const after = await loaded(model);
  const largest = Math.max(...before.map(Math.abs));
  before.forEach((value, at) => {
    expect(Math.abs(value - (after[at] ?? Number.NaN))).toBeLessThan(0.03 * largest);
  });
});

test("dynamic: keeps a table in float if another node reads it as float", async () => {
  const model = network(turned);
  const { changes, misses } = await quantize(model, { scheme: "dynamic", except: "head" });
  expect(changes.map(({ at }) => at)).toEqual(["layer"]);
  expect(misses.map(({ at }) => at)).toEqual(["embedding"]);
});

test("static: stores a table and its tied last layer once", async () => {
  const model = network(turned);
  const before = await loaded(model);
  const { changes, misses } = await quantize(model, { scheme: "static", data: memory("ids", { ids }) });
  expect(misses).toEqual([]);
  expect(changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["embedding", "layer", "head"]));
  expect([...model.graph.values()].filter(({ tensor }) => tensor?.dims.join() === "64,16")).toHaveLength(1);
  const after = await loaded(model);
  const largest = Math.max(...before.map(Math.abs));
  before.forEach((value, at) => {
    expect(Math.abs(value - (after[at] ?? Number.NaN))).toBeLessThan(0.03 * largest);
  });
});

test("stores a matrix once that several quantized layers share", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 16]) -> (y) {
  w: float32[16, 16] = random(seed 1)
  h = MatMul "first" (x, w)
  y = MatMul "second" (h, w)
}`);
  const before = (await encodeToBytes(model)).length;
  const { changes, misses } = await quantize(model, { scheme: "weights" });
  expect([changes.map(({ at }) => at), misses]).toEqual([["first", "second"], []]);
  expect((await encodeToBytes(model)).length).toBeLessThan(before);
});

const wide = (head: string): Model =>
  parseModel(`opset 17
graph (ids: int64[batch, time]) -> (logits) {
  table: float32[80, 64] = random(seed 1)
  up: float32[64, 64] = random(seed 2)
  e = Gather "embedding" (table, ids)
  h = MatMul "layer" (e, up)
  ${head}
}`);
const asItIs = flat.replace("16", "64");

test.each([
  ["transposed", turned, 4, 0.15],
  ["directly", asItIs, 4, 0.15],
  ["transposed", turned, 8, 0.01],
  ["directly", asItIs, 8, 0.01],
] as const)("blocks: stores a table and its tied last layer once: read %s, %d bits", async (_, head, bits, most) => {
  const model = wide(head);
  const before = await loaded(model);
  const { changes, misses } = await quantize(model, {
    scheme: "weights",
    bits,
    block: 16,
    rounder: "nearest",
    overrides: { embedding: { bits } },
  });
  const shared = `weight in ${bits} bits, blocks of 16 with zero points`;
  expect([changes.map(({ at, what }) => [at, what]), misses]).toEqual([
    [
      ["embedding", shared],
      ["layer", `weight in ${bits} bits, blocks of 16`],
      ["head", shared],
    ],
    [],
  ]);
  expect(verify(model)).toEqual([]);
  const bytes = await encodeToBytes(model);
  const again = await open(await encodeToBytes(await open(bytes)));
  // Each row of the table has quantized values, a scale for 16 of them, and a zero point.
  const row = 64 * (bits / 8) + 4 * 4 + (4 * bits) / 8;
  // A language model in 4 bits has scales in float16.
  const layer = 64 * 64 * (bits / 8) + 64 * 4 * (bits === 4 && head === turned ? 2 : 4);
  const sum = (one: Model): number =>
    [...one.graph.values()].reduce(
      (total, { tensor }) => total + (tensor?.type === "int64" ? 0 : (tensor?.bytes ?? 0)),
      0,
    );
  expect(sum(again)).toBe(80 * row + layer);
  expect(bytes.length).toBeLessThan(80 * row + layer + 1000);
  const after = await loaded(again);
  const noise = Math.sqrt(after.reduce((total, value, at) => total + (value - (before[at] ?? 0)) ** 2, 0));
  const signal = Math.sqrt(before.reduce((total, value) => total + value ** 2, 0));
  expect(noise / signal).toBeLessThan(most);
});

test.each([
  ["8 bits", { scheme: "dynamic" }],
  ["4 bits", { scheme: "weights", bits: 4, block: 32 }],
] as const)("reports that a matrix is stored twice if it is read directly and transposed: %s", async (_, options) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 64]) -> (y: float32[n, 64]) {
  w: float32[64, 64] = random(seed 1)
  a = MatMul "a" (x, w)
  b = Relu(a)
  c = MatMul "c" (b, w)
  t = Transpose(w) {perm=[1, 0]}
  y = MatMul "y" (c, t)
}`);
  const { changes } = await quantize(model, options);
  expect(changes).toHaveLength(3);
  const twice = changes.filter(({ what }) => what.includes("stored a second time"));
  expect(twice).toMatchObject([
    { at: "y", what: expect.stringMatching(/"[ac]" reads the same matrix in another form$/) },
  ]);
  const codes = [...model.graph.values()].filter(({ tensor }) => (tensor?.bytes ?? 0) >= 2048);
  expect(codes).toHaveLength(2);
});

test("blocks: uses 8 bits for tied tables that the last layer cannot read, with reason", async () => {
  const model = wide(
    't = Transpose (table) {perm=[1, 0]}\n  x = Transpose (h) {perm=[0, 2, 1]}\n  r: int64[2] = [64, -1]\n  f = Reshape (x, r)\n  logits = Gemm "head" (f, t) {transA=1}',
  );
  const { changes } = await quantize(model, {
    scheme: "weights",
    bits: 4,
    block: 16,
    overrides: { embedding: { bits: 4 } },
  });
  const why = 'not blocks: it is also the weight of "head", where the data operand is transposed';
  expect(changes.map(({ at, what }) => [at, what])).toEqual([
    ["embedding", `weight as int8, a scale per row, ${why}`],
    ["layer", "weight in 4 bits, blocks of 16"],
    ["head", `weight as int8, a scale per output channel, ${why}`],
  ]);
  expect([...model.graph.values()].filter(({ tensor }) => tensor?.dims.join() === "80,64")).toHaveLength(1);
});
