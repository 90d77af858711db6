/** Custom operators that a program defines through public imports: every pass and every technique uses their definitions. */
import { encodeToBytes, float32, int64, Miss, type Model, open, simplify } from "pith";
import { memory } from "pith/data";
import { distillation } from "pith/distill";
import { createEngine } from "pith/engine";
import { accuracy, compareFunction, evaluate } from "pith/evaluate";
import { addOperators, defineOp, infer, layers, parseModel, random, type WeightRole } from "pith/extend";
import { factorize } from "pith/factorize";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
import { crossEntropy, train } from "pith/train";
import { describe, expect, it } from "vitest";
import { inlineFunctions } from "../../src/rewrite/clean-up/inline-functions.ts";
import { lowerFused } from "../../src/rewrite/edit/lower-fused.ts";
import { affineFunction } from "../affine-function.ts";

const role: WeightRole = { input: 1, out: 1, in: 0, groups: 1, data: 0, dataAxis: 1, outputAxis: 1, bias: 2 };

/** The custom operator y = x · w + b. */
const affine = defineOp({
  domain: "lab",
  name: "Affine",
  infer: (_, { inputs: [x, w] }) => {
    const [rows, columns] = [x?.dims?.[0], w?.dims?.[1]];
    if (x === undefined || rows === undefined || columns === undefined) return new Miss("a dimension is not known");
    return [{ type: x.type, dims: [rows, columns] }];
  },
  parameters: [1, 2],
  weight: () => ({
    ...role,
    chain: (emit, [x, , b], [down, up]) =>
      emit.Gemm([emit.named(`${down?.name}.output`).MatMul([x, down?.weight]), up?.weight, b]),
  }),
  axes: () => [
    { from: ["in0", 0], to: ["out0", 0] },
    { from: ["in0", 1], to: ["in1", 0] },
    { from: ["in1", 1], to: ["out0", 1] },
    { from: ["in2", 0], to: ["out0", 1] },
  ],
  lower: (_, emit, inputs) => [emit.Gemm(inputs)],
  cost: (_, { inputs: [, w] }) => Number(w?.dims?.[0]) * Number(w?.dims?.[1]),
  quantize: new Miss("runs in float"),
});

async function network(): Promise<Model> {
  const model = parseModel(`opset 21, lab 1
graph (x: float32[batch, 8]) -> (y: float32[batch, 3]) {
  fc1.weight: float32[8, 32] = random(seed 1)
  fc1.bias: float32[32] = random(seed 2)
  fc2.weight: float32[32, 3] = random(seed 3)
  fc2.bias: float32[3] = random(seed 4)
  h = lab.Affine "fc1" (x, fc1.weight, fc1.bias)
  r = Relu(h)
  y = lab.Affine "fc2" (r, fc2.weight, fc2.bias)
}`);
  model.header.functions = [affineFunction];
  return open(await encodeToBytes(model));
}

async function known(): Promise<Model> {
  const model = await network();
  addOperators(model, affine);
  return model;
}

const draws = random(1, "rows");
const rows = Array.from({ length: 240 }, () => Array.from({ length: 8 }, () => draws.normal()));
const label = rows.map(([a = 0, b = 0]) => (a > 0.3 ? 0 : b > 0 ? 1 : 2));
const data = memory("rows", { x: float32([240, 8], rows.flat()), label: int64([240], label) });
const engine = createEngine();
const calls = (model: Model): number => [...model.graph.nodes()].filter(({ domain }) => domain === "lab").length;
const names = (model: Model): readonly string[] => layers(model, infer(model)).map(({ name }) => name);

async function likeness(a: Model, b: Model): Promise<number> {
  const likeness = await compareFunction(engine, a, b);
  return typeof likeness === "string" ? Number.NaN : likeness.signalToNoise;
}

describe("a custom operator", () => {
  it("is a function call by default, and a layer in a model with its definition", async () => {
    expect(names(await network())).toEqual([]);
    const model = await known();
    expect(names(model)).toEqual(["fc1", "fc2"]);
    expect(names(model.clone())).toEqual(["fc1", "fc2"]);
    expect(infer(model).misses).toEqual([]);
  });

  it("cannot be defined twice, and can replace a built-in definition", async () => {
    const model = await known();
    expect(() => addOperators(model, affine)).toThrow("Operator lab/Affine is defined twice.");
    const no = new Miss("says nothing");
    addOperators(model, defineOp<null>({ name: "Relu", read: () => null, infer: () => no, axes: no, gradient: no }));
    expect(infer(model).misses.map(({ reason }) => reason)).toContain("says nothing");
    expect(names(await known())).toEqual(["fc1", "fc2"]);
  });

  it("is kept by simplify, and lowered to primitives on request", async () => {
    const model = await known();
    await simplify(model);
    await inlineFunctions(model);
    expect(calls(model)).toBe(2);
    const lowered = model.clone();
    await lowerFused(lowered, { operators: ["lab.*"] });
    expect(calls(lowered)).toBe(0);
    expect(await likeness(model, lowered)).toBeGreaterThan(100);
  });

  it("can be pruned, quantized and factorized", async () => {
    const model = await known();
    const sparse = model.clone();
    const { changes } = await prune(sparse, { amount: 0.5 });
    expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
    const thin = model.clone();
    await prune(thin, { structured: 0.25 });
    expect(thin.graph.value("fc1.weight")?.tensor?.dims).toEqual([8, 24]);
    expect(thin.graph.value("fc2.weight")?.tensor?.dims).toEqual([24, 3]);
    const small = model.clone();
    await quantize(small, { scheme: "weights" });
    const low = model.clone();
    await factorize(low, { rank: 4, layers: "fc1" });
    expect([calls(sparse), calls(thin), calls(small), calls(low)]).toEqual([2, 2, 2, 1]);
    expect(await likeness(model, small)).toBeGreaterThan(30);
    for (const result of [sparse, thin, low]) expect(await likeness(model, result)).toBeGreaterThan(1);
  });

  it("computes in float with an 8-bit weight if its definition has no integer form", async () => {
    for (const scheme of ["dynamic", "static"] as const) {
      const model = await known();
      const { misses } = await quantize(model, { scheme, ...(scheme === "static" ? { data } : {}) });
      expect(misses).toEqual([]);
      expect(calls(model)).toBe(2);
      expect(
        [...model.graph.values()].filter(({ tensor }) => tensor?.type === "int8" && tensor.dims.length === 2),
      ).toHaveLength(2);
      expect(await likeness(await known(), model)).toBeGreaterThan(20);
    }
  });

  it("can be trained with labels and a teacher, and stays a custom operator", async () => {
    const teacher = await known();
    const score = async (model: Model) => (await evaluate(engine, model, data, accuracy())).estimate.value;
    await train(teacher, { data, epochs: 40, batch: 16, learningRate: 0.01, loss: crossEntropy() }, { seed: 1 });
    expect(await score(teacher)).toBeGreaterThan(0.9);
    const student = await known();
    await prune(student, { amount: 0.5, keepMasks: true });
    await train(
      student,
      { data, epochs: 40, batch: 16, learningRate: 0.01, loss: distillation({ teacher }) },
      { seed: 1 },
    );
    expect(await score(student)).toBeGreaterThan(0.9);
    expect(calls(student)).toBe(2);
  });
});
