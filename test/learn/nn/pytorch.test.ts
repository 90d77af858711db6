/** Modules compute the same outputs as the PyTorch modules of the same name, and have the same initialization. The expected values come from pytorch.py. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { float32, inMemory, int64 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import {
  attention,
  averagePool,
  batchNorm,
  conv1d,
  conv2d,
  embedding,
  gelu,
  globalAveragePool,
  layerNorm,
  linear,
  type Module,
  maxPool,
  network,
  relu,
  residual,
  sigmoid,
  silu,
  tanh,
} from "../../../src/learn/nn/index.ts";

interface Golden {
  readonly outputs: Readonly<Record<string, { readonly dims: readonly number[]; readonly data: readonly number[] }>>;
  readonly initial: {
    readonly bounds: Readonly<Record<string, { readonly weight: number; readonly bias: number }>>;
    readonly embedding: { readonly mean: number; readonly deviation: number };
    /** Layer normalization: weight, bias. Batch normalization: weight, bias, mean, variance, batches. */
    readonly norms: readonly (readonly number[])[];
  };
}

const golden = JSON.parse(readFileSync(new URL("pytorch.json", import.meta.url), "utf8")) as Golden;
const engine = createEngine();

const wave = (step: number, shift: number, dims: readonly number[]): Float32Array =>
  Float32Array.from({ length: elementCount(dims) }, (_, i) => Math.sin(step * i + shift));

/** Fills a model with the weights of pytorch.py, whose names lack the prefix "m.". */
function fill(model: Model): void {
  for (const value of model.graph.values()) {
    if (value.tensor === undefined || !value.name.startsWith("m.") || value.tensor.type !== "float32") continue;
    const numbers = wave(0.37, value.name.length - 2, value.tensor.dims).map((entry) => entry / 2);
    const data = value.name.endsWith("running_var") ? numbers.map((entry) => Math.abs(entry) + 0.5) : numbers;
    value.tensor = inMemory(float32(value.tensor.dims, data));
  }
}

async function run(model: Model, feeds: Batch): Promise<Dense> {
  expect(verify(model)).toEqual([]);
  const session = await engine.load(model);
  const { output } = await session.run(feeds);
  await session.release();
  if (output === undefined) throw new Error("no output");
  return output;
}

function expectGolden(name: string, output: Dense): void {
  const expected = golden.outputs[name];
  expect(output.dims).toEqual(expected?.dims);
  const numbers = expected?.data ?? [];
  for (const [at, entry] of numbers.entries()) expect(Number(output.data[at])).toBeCloseTo(entry, 5);
}

const cases: readonly (readonly [name: string, module: Module, dims: readonly number[]])[] = [
  ["linear", linear(3, 2), [2, 3]],
  ["linear of three axes", linear(3, 2), [2, 2, 3]],
  ["conv1d", conv1d(2, 3, 3, { stride: 2, padding: 2, dilation: 2 }), [2, 2, 9]],
  ["conv2d", conv2d(4, 4, [3, 2], { stride: [2, 1], padding: [1, 0], groups: 2 }), [1, 4, 5, 4]],
  ["conv2d depthwise", conv2d(3, 3, 3, { padding: 2, dilation: 2, groups: 3, bias: false }), [1, 3, 4, 4]],
  ["batchNorm", batchNorm(3), [2, 3, 2, 2]],
  ["layerNorm", layerNorm(6), [2, 2, 6]],
  ["maxPool", maxPool(3, { stride: 2, padding: 1 }), [1, 2, 5, 5]],
  ["averagePool", averagePool(3, { stride: 2, padding: 1 }), [1, 2, 5, 5]],
  ["averagePool of one axis", averagePool(2), [1, 2, 7]],
  ["globalAveragePool", globalAveragePool(), [2, 2, 3, 2]],
  ["gelu", gelu(), [12]],
  ["sigmoid", sigmoid(), [12]],
  ["tanh", tanh(), [12]],
  ["silu", silu(), [12]],
  [
    "residual",
    residual(
      {
        conv1: conv2d(2, 3, 3, { stride: 2, padding: 1, bias: false }),
        bn1: batchNorm(3),
        relu: relu(),
        conv2: conv2d(3, 3, 3, { padding: 1 }),
      },
      { shortcut: conv2d(2, 3, 1, { stride: 2 }) },
    ),
    [1, 2, 4, 4],
  ],
];

describe("modules compute the outputs of PyTorch", () => {
  it.each(cases)("%s", async (name, module, dims) => {
    // Named sizes show that the graph depends on sizes only through the input.
    const open = dims.map((size, axis) => (axis === 1 || axis === dims.length - 1 ? size : `d${axis}`));
    const model = network({ m: module }, { input: open, seed: 1 });
    fill(model);
    expectGolden(name, await run(model, { input: float32(dims, wave(0.73, 0, dims)) }));
  });

  it("attention, with masked padding", async () => {
    const input = { x: { dims: ["batch", "tokens", 8] }, seen: { type: "int64", dims: ["batch", "tokens"] } } as const;
    const model = network({ m: attention(8, 2, { mask: "seen" }) }, { input, seed: 1 });
    fill(model);
    const dims = [2, 4, 8];
    const seen = int64([2, 4], [1, 1, 1, 1, 1, 1, 0, 0]);
    expectGolden("attention", await run(model, { x: float32(dims, wave(0.73, 0, dims)), seen }));
  });

  it("embedding", async () => {
    const input = { ids: { type: "int64", dims: ["batch", "tokens"] } } as const;
    const model = network({ m: embedding(5, 3) }, { input, seed: 1 });
    fill(model);
    expectGolden("embedding", await run(model, { ids: int64([2, 3], [0, 3, 1, 4, 4, 2]) }));
  });
});

describe("modules are initialized as in PyTorch", () => {
  const numbers = async (
    module: Module,
    name: string,
    dims: readonly (number | string)[],
    type = "float32" as const,
  ) => {
    const dense = await network({ m: module }, { input: { x: { type, dims } }, seed: 3 })
      .graph.value(`m.${name}`)
      ?.tensor?.read();
    if (dense?.type !== "float32") throw new Error(`no ${name}`);
    return dense.data;
  };
  const greatest = (data: Float32Array): number => data.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
  const mean = (data: Float32Array): number => data.reduce((sum, entry) => sum + entry, 0) / data.length;

  it.each([
    ["linear", linear(100, 2000), ["batch", 100]],
    ["conv1d", conv1d(8, 4000, 5), ["batch", 8, "length"]],
    ["conv2d", conv2d(16, 4000, 3, { groups: 4 }), ["batch", 16, "height", "width"]],
  ] as const)("%s: uniform within the bounds of PyTorch", async (name, module, dims) => {
    for (const part of ["weight", "bias"] as const) {
      const data = await numbers(module, part, dims);
      const bound = golden.initial.bounds[name]?.[part] ?? Number.NaN;
      expect(greatest(data) / bound).toBeGreaterThan(0.998);
      expect(greatest(data) / bound).toBeLessThan(1.002);
      // A uniform distribution in ±b has the mean 0 and the mean square b²/3.
      expect(Math.abs(mean(data))).toBeLessThan(0.05 * bound);
      expect(mean(data.map((entry) => entry * entry)) / (bound * bound)).toBeCloseTo(1 / 3, 1);
    }
  });

  it("embedding: mean 0, deviation 1", async () => {
    const input = { x: { type: "int64", dims: ["batch"] } } as const;
    const table = await network({ m: embedding(2000, 50) }, { input, seed: 3 })
      .graph.value("m.weight")
      ?.tensor?.read();
    if (table?.type !== "float32") throw new Error("no table");
    expect(mean(table.data)).toBeCloseTo(golden.initial.embedding.mean, 1);
    expect(Math.sqrt(mean(table.data.map((x) => x * x)))).toBeCloseTo(golden.initial.embedding.deviation, 1);
  });

  it("norms: one and zero", async () => {
    const [layer = [], batch = []] = golden.initial.norms;
    const distinctValues = (module: Module, names: readonly string[]) =>
      Promise.all(names.map(async (name) => [...new Set(await numbers(module, name, ["batch", 5, 5]))]));
    expect(await distinctValues(layerNorm(5), ["weight", "bias"])).toEqual(layer.map((entry) => [entry]));
    const names = ["weight", "bias", "running_mean", "running_var"];
    expect(await distinctValues(batchNorm(5), names)).toEqual(batch.slice(0, 4).map((entry) => [entry]));
  });
});
