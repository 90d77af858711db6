/** Tests GPTQ and its calibration statistics: the weight matrix of a layer with its scales, and its inputs. */
import { readFileSync } from "node:fs";
import { float32, inMemory, toNumbers } from "pith";
import { memory } from "pith/data";
import { fromDense, type Gram, gramMatrices, type Matrix, parseModel, type Solver } from "pith/extend";
import { prune } from "pith/prune";
import { nearest, type QuantizeOptions, quantize } from "pith/quantize";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { weightMatrices } from "../../../src/core/analysis/weight-matrix.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { multiplyInJs, transpose } from "../../../src/core/math/matrix.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored-values.ts";
import { createCodes, gptq } from "../../../src/techniques/quantize/rounders/gptq.ts";
import { cnn, difference, mlp, numbersFor, run, stored } from "./networks.ts";

interface Golden {
  readonly rows: number;
  readonly columns: number;
  readonly weight: readonly number[];
  readonly x: readonly number[];
  readonly cases: readonly { readonly options: Partial<QuantizeOptions>; readonly codes: readonly number[] }[];
}
const golden: Golden = JSON.parse(readFileSync(new URL("../../golden/gptq.generated.json", import.meta.url), "utf8"));

/** Correlated inputs, because GPTQ gains nothing on independent ones. */
const x = numbersFor([64, 12]);
const alike = float32(
  [64, 12],
  x.data.map((value, at) => 0.2 * value + (x.data[12 * Math.floor(at / 12)] ?? 0)),
);

/** GPTQ with the scales of the NumPy reference, and without other methods. */
const byRange: Solver<Gram> = { ...gptq, scales: nearest.scales, codes: createCodes(0) };

const { blind: _, ...seeing } = gptq;

describe("GPTQ", () => {
  test.each(golden.cases)("has the quantized values of NumPy: $options", async ({ options, codes }) => {
    const { rows, columns } = golden;
    const model = parseModel(`opset 17
graph (x: float32[batch, ${columns}]) -> (y: float32[batch, ${rows}]) {
  weight: float32[${rows}, ${columns}] = random(seed 1)
  y = Gemm(x, weight) {transB=1}
}`);
    const weight = model.graph.value("weight");
    if (weight === undefined) throw new Error("There is no weight.");
    weight.tensor = inMemory(
      float32(
        [rows, columns],
        golden.weight.map((unit) => unit / 4096),
      ),
    );
    const samples = float32(
      [golden.x.length / columns, columns],
      golden.x.map((unit) => unit / 64),
    );
    const data = memory("x", { x: samples });
    await quantize(model, { scheme: "weights", rounder: byRange, data, ...options });
    const bytes = toNumbers(await stored(model, "weight_quantized"));
    const unpackedCodes = options.bits === 4 ? [...bytes].flatMap((byte) => [byte & 15, byte >> 4]) : [...bytes];
    const width = unpackedCodes.length / rows;
    expect(unpackedCodes.filter((_, at) => at % width < columns)).toEqual(codes);
  });

  test.each<[string, Partial<QuantizeOptions>]>([
    ["8 bits", {}],
    ["4 bits in blocks", { bits: 4 }],
    ["4 bits in blocks with zero points", { bits: 4, block: 16, zeroPoints: true }],
    ["4 bits in blocks of DequantizeLinear", { bits: 4, onnxOnly: true }],
  ])("has less output error than rounding to nearest: %s", async (_, options) => {
    const [nearestModel, gptqModel] = [mlp(), mlp()];
    await quantize(nearestModel, { scheme: "weights", ...options });
    await quantize(gptqModel, { scheme: "weights", rounder: "gptq", data: memory("x", { x: alike }), ...options });
    const expected = await run(mlp(), { x: alike });
    const [a, b] = [await run(nearestModel, { x: alike }), await run(gptqModel, { x: alike })];
    expect(difference(expected, b)).toBeLessThan(0.9 * difference(expected, a));
  });

  test.each(["gptq", "gptaq"] as const)(
    "rounds weights whose inputs are 0 in all samples about as well as to nearest: %s",
    async (rounder) => {
      const [nearestModel, calibratedModel] = [mlp(), mlp()];
      const half = float32(
        [64, 12],
        x.data.map((value, at) => (at % 12 < 6 ? value : 0)),
      );
      await quantize(nearestModel, { scheme: "weights", bits: 4 });
      await quantize(calibratedModel, { scheme: "weights", bits: 4, rounder, data: memory("x", { x: half }) });
      const expected = await run(mlp(), { x });
      const [a, b] = [await run(nearestModel, { x }), await run(calibratedModel, { x })];
      expect(difference(expected, b)).toBeLessThan(1.25 * difference(expected, a));
    },
  );

  test.each<[Partial<QuantizeOptions>, number]>([
    [{}, 0.02],
    [{ bits: 4, onnxOnly: true }, 0.2],
  ])("has a row of statistics per kernel position of each input of a convolution: %s", async (options, most) => {
    const model = cnn();
    const pictures = numbersFor([8, 3, 8, 8]);
    const data = memory("x", { x: pictures });
    const { misses } = await quantize(model, { scheme: "weights", rounder: "gptq", data, ...options });
    expect(misses).toEqual([]);
    expect(difference(await run(cnn(), { x: pictures }), await run(model, { x: pictures }))).toBeLessThan(most);
  });
});

test("keeps pruned weights at 0, and compensates for rounding in the others", async () => {
  const pruned = mlp();
  const data = memory("x", { x: alike });
  await prune(pruned, { pattern: "2:4", solver: "sparsegpt", data });
  const rounded = async (rounder: QuantizeOptions["rounder"]): Promise<Model> => {
    const model = pruned.clone();
    await quantize(model, { scheme: "weights", bits: 4, onnxOnly: true, rounder, data });
    return model;
  };
  const [nearestModel, gptqModel] = [await rounded("nearest"), await rounded("gptq")];
  /** Returns outputs × inputs of each layer, for any storage. */
  const weightsOf = (model: Model): Promise<Float64Array[]> =>
    Promise.all(
      layers(model, infer(model)).map(async ({ effective, role }) => {
        const dense = await readStoredValue(model, effective, createEngine());
        return Float64Array.from(weightMatrices(role, dense.dims, toNumbers(dense)).flatMap(({ data }) => [...data]));
      }),
    );
  const after = await weightsOf(gptqModel);
  for (const [at, before] of (await weightsOf(pruned)).entries()) {
    expect(before.filter((weight) => weight === 0).length).toBe(before.length / 2);
    expect(before.every((weight, entry) => weight !== 0 || after[at]?.[entry] === 0)).toBe(true);
  }
  const [expected, a, b] = [
    await run(pruned, { x: alike }),
    await run(nearestModel, { x: alike }),
    await run(gptqModel, { x: alike }),
  ];
  expect(difference(expected, b)).toBeLessThan(0.9 * difference(expected, a));
});

test("skips a layer whose blocks would cross its inputs if the method requires statistics", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 5, 32]) -> (y: float32[batch, 5, 4, 16]) {
  heads.weight: float32[4, 32, 16] = random(seed 1)
  y = Einsum(x, heads.weight) {equation="bsd,hdk->bshk"}
}`);
  const data = memory("x", { x: numbersFor([4, 5, 32]) });
  const { misses } = await quantize(model, { scheme: "weights", bits: 4, onnxOnly: true, rounder: seeing, data });
  expect(misses).toMatchObject([{ at: "heads", reason: "its blocks would cross its inputs" }]);
});

test("skips a layer in a branch if the method requires statistics of its inputs", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 8]) {
  w: float32[12, 8] = random(seed 1)
  v: float32[12, 8] = random(seed 2)
  zero: float32[] = [0]
  e = MatMul "outside" (x, v)
  largest = ReduceMax(x) {keepdims=0}
  c = Greater(largest, zero)
  r = If(c) {
    then_branch=graph () -> (r1) { r1 = MatMul "inside" (x, w) },
    else_branch=graph () -> (r2) { r2 = Identity(e) }
  }
  y = Add(r, e)
}`);
  const data = memory("x", { x: alike });
  const { changes, misses } = await quantize(model, { scheme: "weights", rounder: seeing, data });
  expect(changes.map(({ at }) => at)).toEqual(["outside"]);
  expect(misses).toMatchObject([{ at: "inside", reason: "it is in a subgraph" }]);
});

describe("statistics of layers after quantized ones", () => {
  /** Returns the Gram matrices that a rounding method received, by layer. */
  async function seenIn(of: Solver["of"], options: QuantizeOptions): Promise<ReadonlyMap<string, Matrix>> {
    const seen = new Map<string, Matrix>();
    const watching: Solver<Gram> = {
      ...{ id: "watching", evidence: gramMatrices, ...(of === undefined ? {} : { of }) },
      scales(weight, grid, { layer, evidence }) {
        const [gram] = evidence.groups;
        if (gram !== undefined) seen.set(layer.node.name, gram);
        return nearest.scales(weight, grid);
      },
    };
    await quantize(mlp(), { ...options, rounder: watching, data: memory("x", { x: alike }) });
    return seen;
  }

  async function gramOf(model: Model, name: string): Promise<Matrix> {
    const part = model.clone();
    const value = part.graph.value(name);
    if (value === undefined) throw new Error(`There is no "${name}".`);
    part.graph.setOutputs([value]);
    const numbers = await run(part, { x: alike }, { optimize: false });
    const rows = fromDense({ type: "float64", dims: [64, numbers.length / 64], data: numbers } as Dense);
    return multiplyInJs(transpose(rows), rows);
  }

  const computeDifference = (a: Matrix, b: Matrix | undefined): number =>
    difference(a.data, b?.data ?? new Float64Array());

  test.each<QuantizeOptions>([
    { scheme: "weights" },
    { scheme: "weights", bits: 4, equalize: false },
    { scheme: "static", bits: 8, equalize: false },
  ])("are those of the changed model if the method requests it: %s", async (options) => {
    const [original, changed] = [await seenIn(undefined, options), await seenIn("changed", options)];
    const rounded = mlp();
    await quantize(rounded, { ...options, scheme: "weights" });
    const expected = [await gramOf(mlp(), "a"), await gramOf(rounded, "a")] as const;
    expect(computeDifference(expected[0], original.get("second"))).toBeLessThan(1e-5);
    // The static scheme also rounds biases.
    expect(computeDifference(expected[1], changed.get("second"))).toBeLessThan(
      options.scheme === "static" ? 5e-5 : 1e-5,
    );
    expect(computeDifference(...expected)).toBeGreaterThan(1e-4);
    expect(computeDifference(await gramOf(mlp(), "x"), changed.get("fc1"))).toBeLessThan(1e-5);
  });
});
