import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32, inMemory } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import { differentiate } from "../../learn/train/differentiate.ts";
import { type FakeRounding, findRoundings, writeFakeRounding } from "./fake-rounding.ts";

const engine = createEngine();

interface Case {
  readonly dims: readonly number[];
  /** The axis with one scale per index; without it, there is one scale. */
  readonly axis?: number;
  readonly low: number;
  readonly high: number;
}

const cases: Readonly<Record<string, Case>> = {
  "a matrix of 3 bits": { dims: [6, 40], low: -4, high: 3 },
  "a matrix of 4 bits, a scale per row": { dims: [6, 40], axis: 0, low: -8, high: 7 },
  "a kernel of 2 bits, per-channel scales": { dims: [5, 3, 3, 3], axis: 0, low: -2, high: 1 },
  "a matrix of 8 bits, a scale per column": { dims: [12, 5], axis: 1, low: -127, high: 127 },
  "an activation that begins at 0": { dims: [4, 30], low: 0, high: 255 },
  "an activation with a zero point": { dims: [4, 30], low: -31, high: 224 },
  "an activation that is never positive": { dims: [4, 30], low: -255, high: 0 },
};

/** Draws values v, gradients at their rounded values (`up`), and scales so small that many of v are clipped. */
function drawCase({ dims, axis, low, high }: Case) {
  const numbers = random(5, dims.join(), low);
  const count = elementCount(dims);
  const normal = () => Float32Array.from({ length: count }, () => numbers.normal());
  const width = Math.max(high, -low);
  const scales = axis === undefined ? 1 : (dims[axis] ?? 1);
  const scale = Array.from({ length: scales }, () => Math.fround((0.6 + 0.5 * numbers.uniform()) / width));
  const inner = dims.slice((axis ?? 0) + 1).reduce((product, size) => product * size, 1);
  const scaleOf = (index: number): number => (axis === undefined ? 0 : Math.floor(index / inner) % scales);
  return { v: normal(), up: normal(), scale, scaleOf, sharing: count / scales };
}

async function build(name: string, trainedFor: number | undefined, scale: readonly number[]) {
  const { dims, axis, low, high } = cases[name] as Case;
  const model = parseModel(`opset 18
graph (up: float32[${dims.join()}]) -> (loss) {
  v: float32[${dims.join()}] parameter = random(seed 1)
  y = Mul(v, up)
  loss = ReduceSum(y) {keepdims=0}
}`);
  const { graph } = model;
  const [v, product] = [graph.value("v"), graph.value("y")?.producer];
  if (v === undefined || product === undefined) throw new Error("values are missing");
  const rounding: FakeRounding = { scale, low, high, ...(trainedFor === undefined ? {} : { trainedFor }) };
  const scaleDims = axis === undefined ? [] : dims.map((size, index) => (index === axis ? size : 1));
  const { result } = writeFakeRounding(emitInto(model, { by: "test", before: product }), "v", v, rounding, scaleDims);
  graph.setInput(product, 0, result);
  expect(verify(model)).toEqual([]);
  return open(await encodeToBytes(model));
}

async function gradientsOf(model: Awaited<ReturnType<typeof build>>, v: Float32Array, up: Float32Array) {
  const { step, gradients } = differentiate(model, { loss: "loss", wrt: ({ role }) => role?.kind === "parameter" });
  const range = await model.graph.value("v_range")?.tensor?.read();
  const dims = model.graph.value("v")?.tensor?.dims ?? [];
  const session = await engine.load(step, { optimize: false });
  const feeds = { up: float32(dims, up), v: float32(dims, v), ...(range && { v_range: range }) };
  const named = new Set(step.graph.feeds.map(({ name }) => name));
  const outputs = await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => named.has(name))));
  await session.release();
  const numbers = (name: string): readonly number[] => {
    const dense = outputs[gradients.get(name) ?? ""];
    return dense === undefined ? [] : toNumbers(dense);
  };
  return { loss: toNumbers(outputs.loss ?? float32([], [0]))[0] ?? 0, v: numbers("v"), range: numbers("v_range") };
}

function expectClose(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual).toHaveLength(expected.length);
  const size = Math.max(...expected.map(Math.abs));
  expect(size).toBeGreaterThan(0);
  actual.forEach((value, index) => {
    expect(Math.abs(value - (expected[index] ?? Number.NaN))).toBeLessThan(tolerance * size);
  });
}

// Source: Esser et al. 2020, "Learned step size quantization", equations 2, 3 and 5, and section 2.2 for the gradient scale.
describe.each(Object.keys(cases))("a trained scale of %s", (name) => {
  const { low, high } = cases[name] as Case;
  const { v, up, scale, scaleOf, sharing } = drawCase(cases[name] as Case);
  const quotients = Array.from(v, (value, index) => Math.fround(value / (scale[scaleOf(index)] ?? 1)));

  test("moves by gradient descent as learned step sizes do", async () => {
    const model = await build(name, sharing, scale);
    const computed = await gradientsOf(model, v, up);
    const levels = high > 0 ? high : -low;
    const expected = scale.map(() => 0);
    quotients.forEach((q, index) => {
      const slope = q <= low ? low : q >= high ? high : roundHalfEven(q) - q;
      expected[scaleOf(index)] =
        (expected[scaleOf(index)] ?? 0) + (slope * (up[index] ?? 0)) / Math.sqrt(sharing * levels);
    });
    expect(quotients.filter((q) => q < low || q > high).length).toBeGreaterThan(v.length / 40);
    // The trained range is a power of two times the scale, so a step moves the scale by its gradient, as in the paper.
    const range = toNumbers((await model.graph.value("v_range")?.tensor?.read()) ?? float32([0], []));
    const factor = (range[0] ?? 0) / (scale[0] ?? 1);
    expect(Math.log2(factor)).toBe(Math.ceil(Math.log2(Math.max(high, -low))));
    expect(range).toEqual(scale.map((one) => one * factor));
    const scaleGradients = computed.range.map((gradient) => gradient / factor);
    expectClose(scaleGradients, expected, 1e-4);
    const passed = quotients.map((q, index) => (q < low || q > high ? 0 : (up[index] ?? 0)));
    expectClose(computed.v, passed, 1e-6);
    expect(computed.v.map((value) => value === 0)).toEqual(passed.map((value) => value === 0));
  });

  test("computes the same outputs as a fixed scale, which has no gradient", async () => {
    const [trained, fixed] = [await build(name, sharing, scale), await build(name, undefined, scale)];
    const before = await gradientsOf(fixed, v, up);
    expect((await gradientsOf(trained, v, up)).loss).toBe(before.loss);
    expect(before.range).toEqual([]);
  });
});

test("a trained scale follows the magnitude of its range, at least 1/1024 of its start", async () => {
  const name = "a matrix of 4 bits, a scale per row";
  const { v, up, scale, sharing } = drawCase(cases[name] as Case);
  const model = await build(name, sharing, scale);
  const stored = model.graph.value("v_range");
  if (stored?.tensor === undefined) throw new Error("there is no range");
  const lowerBounds = scale.map((one) => one / 1024);
  const fallen = scale.map((one, row) => [-one, -one / 4096, one / 4096, 1e-30, one, -2 * one][row] ?? one);
  stored.tensor = inMemory(
    float32(
      stored.tensor.dims,
      fallen.map((one) => 8 * one),
    ),
  );
  const expected = fallen.map((one, row) => Math.max(Math.fround(Math.abs(one)), lowerBounds[row] ?? 0));
  const { weights } = await findRoundings(model);
  expect([...weights.values()].flat().map((rounding) => rounding.scale)).toEqual([expected]);
  const computed = await gradientsOf(model, v, up);
  expect(computed.range.every((slope) => Number.isFinite(slope) && slope !== 0)).toBe(true);
});

test("a scale recovers from its lower bound equally fast after any time there", async () => {
  const name = "a matrix of 4 bits, a scale per row";
  const { v, scale, sharing } = drawCase(cases[name] as Case);
  const model = await build(name, sharing, scale);
  const { step, gradients } = differentiate(model, { loss: "loss", wrt: ({ role }) => role?.kind === "parameter" });
  const session = await engine.load(step);
  const [range] = [await model.graph.value("v_range")?.tensor?.read()];
  const dims = model.graph.value("v")?.tensor?.dims ?? [];
  if (range?.type !== "float32") throw new Error("there is no range");
  const initialRange = [...range.data];
  /** Takes steps whose length does not depend on the gradient's size, as Adam does. Direction 1 lowers outputs, -1 raises them. */
  const steps = async (count: number, direction: number): Promise<void> => {
    const up = v.map((value) => direction * Math.sign(value));
    for (let index = 0; index < count; index++) {
      const outputs = await session.run({ up: float32(dims, up), v: float32(dims, v), v_range: range });
      const slopes = toNumbers(outputs[gradients.get("v_range") ?? ""] ?? float32([], []));
      for (const [row, start] of initialRange.entries())
        range.data[row] = (range.data[row] ?? 0) - (Math.sign(slopes[row] ?? 0) * start) / 20;
    }
  };
  const shares = (): readonly number[] => initialRange.map((one, row) => Math.abs(range.data[row] ?? 0) / one);
  await steps(100, 1);
  expect(Math.max(...shares())).toBeLessThan(0.06);
  await steps(22, -1);
  expect(Math.min(...shares())).toBeGreaterThan(0.99);
  await session.release();
});
