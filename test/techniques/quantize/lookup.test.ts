/** Tests embedding tables as layers: 8-bit rows that are dequantized after the lookup, pruning, and exclusions. */
import { expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { lowerFused } from "../../../src/rewrite/edit/lower-fused.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";

const network = (type = "float32", dims = "[n, 3]"): Model =>
  parseModel(`opset 17
graph (ids: int64${dims}) -> (e: ${type}[...]) {
  embed.weight: ${type}[8, 6] = random(seed 1)
  e = Gather "embed" (embed.weight, ids)
}`);

const ids = fromNumbers("int64", [2, 3], [0, 7, 3, -1, -8, 3]);

async function outputs(
  model: Model,
  feed: Dense = ids,
): Promise<{ readonly dims: readonly number[]; readonly numbers: Float64Array }> {
  const session = await createEngine().load(await open(await encodeToBytes(model)));
  const { e } = await session.run({ ids: feed });
  await session.release();
  if (e === undefined) throw new Error("no output");
  return { dims: e.dims, numbers: toFloat64(e) };
}

const namesOf = (model: Model): readonly string[] => layers(model, infer(model)).map(({ name }) => name);

test.each([
  [{}, "weight as int8, a scale per row"],
  [{ weights: "uint8" }, "weight as uint8, a scale per row"],
  [{ perChannel: false }, "weight as int8, one scale"],
  [{ weights: "uint8", perChannel: false }, "weight as uint8, one scale"],
] as const)("stores a table as integers: %j", async (options, what) => {
  const model = network();
  const before = await outputs(model);
  const { changes, misses } = await quantize(model, { scheme: "weights", ...options });
  expect([changes, misses]).toEqual([[{ at: "embed", what, kind: "quantized", bits: 8, decidedBy: "global" }], []]);
  expect(verify(model)).toEqual([]);
  const after = await outputs(model);
  expect(after.dims).toEqual([2, 3, 6]);
  const largest = before.numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  before.numbers.forEach((value, at) => {
    const row = before.numbers.subarray(at - (at % 6), at - (at % 6) + 6);
    const range = "perChannel" in options ? largest : Math.max(...row.map(Math.abs));
    expect(Math.abs(value - (after.numbers[at] ?? 0))).toBeLessThanOrEqual((range / 127) * 0.51);
  });
  // The quantized table is the same layer, and is not quantized again.
  expect(namesOf(model)).toEqual(["embed"]);
  expect((await quantize(model, { scheme: "weights" })).misses.map(({ reason }) => reason)).toEqual([
    `its weight is quantized already`,
  ]);
});

const blocked = (width: number, type = "float32"): Model =>
  parseModel(`opset 17
graph (ids: int64[n, 3]) -> (e: ${type}[...]) {
  embed.weight: ${type}[9, ${width}] = random(seed 1)
  e = Gather "embed" (embed.weight, ids)
}`);

test.each([
  [4, 16, 64, "float32", 15],
  [8, 16, 48, "float32", 255],
  [4, 32, 64, "float32", 15],
  [8, 128, 256, "float32", 255],
  [4, 16, 96, "float16", 15],
] as const)("stores a table in blocks of %d bits: %d of %d values, %s", async (bits, block, width, type, steps) => {
  const model = blocked(width, type);
  const before = await outputs(model);
  const settings = { block, overrides: { embed: { bits } } };
  const { changes, misses } = await quantize(model, { scheme: "weights", ...settings });
  const description = `weight in ${bits} bits, blocks of ${block} with zero points`;
  expect([changes.map((change) => [change.what, change.bits]), misses]).toEqual([[[description, bits]], []]);
  expect(verify(model)).toEqual([]);
  const after = await outputs(model);
  expect(after.dims).toEqual([2, 3, width]);
  for (let start = 0; start < before.numbers.length; start += block) {
    const blockValues = before.numbers.subarray(start, start + block);
    const step = (Math.max(0, ...blockValues) - Math.min(0, ...blockValues)) / steps;
    // Half a step for the value, and half a step for the zero point at the ends of the range, plus float16 rounding.
    blockValues.forEach((value, at) => {
      expect(Math.abs(value - (after.numbers[start + at] ?? 0))).toBeLessThanOrEqual(1.01 * step + 1e-3);
    });
  }
  const lowered = await open(await encodeToBytes(model));
  await lowerFused(lowered);
  expect((await outputs(lowered)).numbers).toEqual(after.numbers);
  expect(namesOf(model)).toEqual(["embed"]);
  expect((await quantize(model, { scheme: "weights" })).misses.map(({ reason }) => reason)).toEqual([
    "its weight is quantized already",
  ]);
});

test("uses 8 bits for rows that blocks do not divide, with the reason", async () => {
  const { changes } = await quantize(blocked(40), { scheme: "weights", overrides: { embed: { bits: 4 } } });
  expect(changes.map(({ what, bits }) => [what, bits])).toEqual([
    ["weight as int8, a scale per row, not blocks: rows of 40 numbers are not a multiple of the block size 32", 8],
  ]);
});

test("uses an even number of 4-bit blocks per row, which ONNX Runtime 1.24 requires", async () => {
  const describeChanges = async (width: number, block: 16 | 32) =>
    (await quantize(blocked(width), { scheme: "weights", bits: 4, block, rounder: "nearest" })).changes.map(
      ({ what }) => what,
    );
  expect(await describeChanges(96, 32)).toEqual(["weight in 4 bits, blocks of 16 with zero points"]);
  expect(await describeChanges(48, 16)).toEqual([
    "weight as int8, a scale per row, not blocks: rows of 48 numbers are an odd number of blocks of 16",
  ]);
});

test("uses plain operators for transformers.js with bit-identical outputs, because its browser build lacks others", async () => {
  const [operator, plain] = [blocked(64), blocked(64)];
  await quantize(operator, { scheme: "weights", bits: 4 });
  await quantize(plain, { dtype: "q4" });
  const domains = (model: Model) => new Set([...model.graph.nodes()].map(({ domain }) => domain));
  expect([domains(operator), domains(plain)]).toEqual([new Set(["com.microsoft"]), new Set([""])]);
  expect(await outputs(plain)).toEqual(await outputs(operator));
});

test("accepts a single index", async () => {
  const model = network("float32", "[]");
  await quantize(model, { scheme: "weights" });
  expect((await outputs(model, fromNumbers("int64", [], [3]))).dims).toEqual([6]);
});

test("keeps the type of a float16 table", async () => {
  const model = network("float16");
  const before = await outputs(model);
  await quantize(model, { scheme: "weights" });
  const after = await outputs(model);
  before.numbers.forEach((value, at) => {
    expect(after.numbers[at]).toBeCloseTo(value, 1);
  });
});

test("exports a fake-quantized table to the same values", async () => {
  const model = network();
  await fakeQuantize(model, { scheme: "weights" });
  const rounded = await outputs(model);
  await quantize(model, { scheme: "weights" });
  expect([...model.graph.nodes()].map(({ op }) => op)).not.toContain("Round");
  const { numbers } = await outputs(model);
  rounded.numbers.forEach((value, at) => {
    expect(numbers[at]).toBeCloseTo(value, 6);
  });
});

test("prunes a table and counts its zeros, also with masks and in quantized values", async () => {
  const model = network();
  await prune(model, { amount: 0.5, keepMasks: true });
  expect(namesOf(model)).toEqual(["embed"]);
  await quantize(model, { scheme: "weights" });
  const codes = [...model.graph.values()].find(({ tensor }) => tensor?.type === "int8" || tensor?.type === "uint8");
  const stored = await codes?.tensor?.read();
  const numbers = stored === undefined ? [] : [...toFloat64(stored)];
  const zero = codes?.tensor?.type === "int8" ? 0 : 128;
  expect(numbers.filter((code) => code === zero)).toHaveLength(24);
});

test("skips fixed positions in pruning and quantization, unless they are selected", async () => {
  const positions = Array.from({ length: 8 }, (_, t) => [Math.sin(t), Math.sin(t / 9), Math.cos(t), Math.cos(t / 9)]);
  const make = (): Model =>
    parseModel(`opset 17
graph (ids: int64[n, 3]) -> (e: float32[...]) {
  waves: float32[8, 4] = [${positions.flat().join(", ")}]
  e = Gather "waves" (waves, ids)
}`);
  expect(await quantize(make(), { scheme: "weights" })).toMatchObject({
    changes: [],
    misses: [{ at: "waves", reason: "its table contains fixed positions, which are not trained" }],
  });
  expect(await prune(make(), { amount: 0.5 })).toMatchObject({
    changes: [],
    misses: [{ at: "waves", reason: "its weight contains constants, which are not trained" }],
  });
  expect((await quantize(make(), { scheme: "weights", layers: "waves" })).changes).toHaveLength(1);
});

test("prunes no columns of a table without coupled layers, with the reason", async () => {
  const { changes, misses } = await prune(network(), { structured: 0.5 });
  expect([changes, misses.map(({ at, reason }) => `${at}: ${reason}`)]).toEqual([
    [],
    ["embed: its columns are not coupled to the channels of a layer"],
  ]);
});

test("is no layer with stored indices, another axis, integers or a stack of tables", () => {
  const model = parseModel(`opset 17
graph (ids: int64[n]) -> (a, b, c, d) {
  table: float32[8, 6] = random(seed 1)
  counts: int64[8, 6] = zeros
  stack: float32[2, 8, 6] = random(seed 2)
  first: int64[1] = [0]
  a = Gather (table, first)
  b = Gather (table, ids) {axis=1}
  c = Gather (counts, ids)
  d = Gather (stack, ids)
}`);
  expect(namesOf(model)).toEqual([]);
});
