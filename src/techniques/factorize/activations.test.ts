/** Tests the output error of truncations that are weighted by layer inputs. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { fromDense, multiply } from "../../core/math/matrix.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { memory } from "../../data/index.ts";
import { conv2d, flatten, linear, network, relu } from "../../learn/nn/index.ts";
import { factorize } from "./factorize.ts";

const count = 64;

/** Returns channels of very different magnitudes that are sums of three sources, because activations are correlated like this. */
function correlated(channels: number, positions: number): Float32Array {
  const draws = random(7);
  const mixed = Array.from({ length: channels * 3 }, () => draws.normal());
  const result = new Float32Array(count * channels * positions);
  for (let sample = 0; sample < count; sample++) {
    for (let position = 0; position < positions; position++) {
      const sources = [draws.normal(), draws.normal(), draws.normal()];
      for (let channel = 0; channel < channels; channel++) {
        const value = sources.reduce((sum, source, index) => sum + source * (mixed[channel * 3 + index] ?? 0), 0);
        result[(sample * channels + channel) * positions + position] = (1 + channel) * (value + 0.2 * draws.normal());
      }
    }
  }
  return result;
}

async function answers(model: Model, input: Float32Array, dims: readonly number[]): Promise<readonly number[]> {
  const session = await createEngine().load(model);
  const { output } = await session.run({ input: float32([...dims], input) });
  await session.release();
  return Array.from(output?.data ?? [], Number);
}

function relative(a: readonly number[], b: readonly number[]): number {
  const norm = (values: readonly number[]): number => Math.hypot(...values);
  return norm(a.map((value, index) => value - (b[index] ?? 0))) / norm(b);
}

/** Returns the error in a text such as "rank 2, relative error of outputs 0.123". */
const printedError = (what: string | undefined): number =>
  Number(/relative error (?:of outputs )?([\d.]+)/.exec(what ?? "")?.[1]);

describe.each([
  [
    "a product",
    [count, 12],
    12,
    1,
    () => network({ fc: linear(12, 10, { bias: false }) }, { input: ["batch", 12], seed: 1 }),
  ],
  [
    "a convolution",
    [count, 6, 4, 4],
    6,
    16,
    () => network({ conv: conv2d(6, 10, 3, { padding: 1, bias: false }) }, { input: ["batch", 6, 4, 4], seed: 1 }),
  ],
  [
    "a convolution in groups",
    [count, 8, 4, 4],
    8,
    16,
    () => network({ conv: conv2d(8, 8, 3, { groups: 2, bias: false }) }, { input: ["batch", 8, 4, 4], seed: 1 }),
  ],
] as const)("factorize with whitening on %s", (_, dims, channels, positions, make) => {
  const pixels = correlated(channels, positions);
  const data = memory("correlated", { input: float32([...dims], pixels) });
  const errorOf = async (activations?: "whitening") => {
    const model = make();
    const options = activations === undefined ? {} : { activations, data, samples: count };
    const { changes } = await factorize(model, { rank: 2, method: "svd", ...options });
    return {
      error: relative(await answers(model, pixels, dims), await answers(make(), pixels, dims)),
      what: changes[0]?.what,
    };
  };

  test("reports the output error, which is below that of truncated weights", async () => {
    const [plain, whitened] = [await errorOf(), await errorOf("whitening")];
    expect(whitened.error).toBeCloseTo(printedError(whitened.what), 3);
    expect(whitened.what).toContain("relative error of outputs");
    expect(whitened.error).toBeLessThan(0.9 * plain.error);
  });
});

test("uses inputs that the already factorized layers compute", async () => {
  const make = () =>
    network({ fc1: linear(12, 12), relu: relu(), fc2: linear(12, 10) }, { input: ["batch", 12], seed: 1 });
  const pixels = correlated(12, 1);
  const data = memory("correlated", { input: float32([count, 12], pixels) });
  const model = make();
  await factorize(model, { rank: 1, activations: "whitening", data, samples: count });
  const alone = make();
  await factorize(alone, { rank: 1, layers: "fc1", activations: "whitening", data, samples: count });
  await factorize(alone, { rank: 1, layers: "fc2", activations: "whitening", data, samples: count });
  expect(await answers(model, pixels, [count, 12])).toEqual(await answers(alone, pixels, [count, 12]));
});

test("distributes a budget by the error of outputs", async () => {
  const make = () =>
    network(
      { flatten: flatten(), fc1: linear(12, 16), relu: relu(), fc2: linear(16, 16) },
      { input: ["batch", 12], seed: 1 },
    );
  const pixels = correlated(12, 1);
  const data = memory("correlated", { input: float32([count, 12], pixels) });
  const [model, plain] = [make(), make()];
  const { changes } = await factorize(model, { budget: 0.5, activations: "whitening", data, samples: count });
  await factorize(plain, { budget: 0.5 });
  expect(changes.length).toBeGreaterThan(0);
  const original = await answers(make(), pixels, [count, 12]);
  expect(relative(await answers(model, pixels, [count, 12]), original)).toBeLessThan(
    relative(await answers(plain, pixels, [count, 12]), original),
  );
});

test("requires samples and the method `svd` for whitening", async () => {
  const model = network({ conv: conv2d(6, 10, 3) }, { input: ["batch", 6, 4, 4], seed: 1 });
  await expect(factorize(model, { rank: 2, activations: "whitening" })).rejects.toThrow("whitening needs samples");
  const data = memory("correlated", { input: float32([count, 6, 4, 4], correlated(6, 16)) });
  const { misses } = await factorize(model, { rank: 2, method: "spatial", activations: "whitening", data });
  expect(misses[0]?.reason).toContain("only `svd` can use `activations`");
});

test("reports if there are fewer inputs than elements in each", async () => {
  const make = () => network({ fc: linear(12, 10) }, { input: ["batch", 12], seed: 1 });
  const changeText = async (samples: number) => {
    const data = memory("correlated", { input: float32([samples, 12], correlated(12, 1).slice(0, 12 * samples)) });
    const { changes } = await factorize(make(), { rank: 5, activations: "whitening", data });
    return changes[0]?.what;
  };
  expect(await changeText(5)).toContain("relative error of outputs 0.000 on 5 inputs, fewer than their 12 numbers");
  expect(await changeText(12)).not.toContain("fewer");
});

test("names the layer if its inputs are NaN", async () => {
  const data = memory("broken", { input: float32([12, 12], correlated(12, 1).slice(0, 144).fill(Number.NaN, 0, 1)) });
  const model = network({ fc: linear(12, 10) }, { input: ["batch", 12], seed: 1 });
  await expect(factorize(model, { rank: 2, activations: "whitening", data })).rejects.toMatchObject({
    code: "E_DATA",
    message: 'Inputs of "fc" are NaN or infinite on the samples.',
  });
});

/** Returns the product of the two factors that a model stores. */
async function productOf(model: Model): Promise<readonly number[]> {
  const names = ["down", "up"].map((part) => [...model.graph.values()].find(({ name }) => name.includes(`.${part}.`)));
  const [down, up] = await Promise.all(names.map(async (value) => fromDense((await value?.tensor?.read()) as Dense)));
  return down === undefined || up === undefined ? [] : [...multiply(up, down).data];
}

test("whitens a shared weight by the inputs of all its layers", async () => {
  const [x, u] = [correlated(12, 1), correlated(12, 1).map((value, index) => value * Math.sin(index))];
  const shared = parseModel(`opset 17
graph (x: float32[batch, 12], u: float32[batch, 12]) -> (y, z) {
  w: float32[10, 12] = random(seed 1)
  y = Gemm "a" (x, w) {transB=1}
  z = Gemm "b" (u, w) {transB=1}
}`);
  const once = parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y) {
  w: float32[10, 12] = random(seed 1)
  y = Gemm "a" (x, w) {transB=1}
}`);
  const settings = { rank: 3, activations: "whitening" } as const;
  const both = memory("both", { x: float32([count, 12], x), u: float32([count, 12], u) });
  const stacked = memory("stacked", { x: float32([2 * count, 12], Float32Array.from([...x, ...u])) });
  const first = memory("first", { x: float32([count, 12], x) });
  const alone = once.clone();
  await factorize(shared, { ...settings, data: both, samples: count });
  await factorize(once, { ...settings, data: stacked, samples: 2 * count });
  await factorize(alone, { ...settings, data: first, samples: count });
  const [product, expected, other] = [await productOf(shared), await productOf(once), await productOf(alone)];
  expect(relative(product, expected)).toBeLessThan(1e-5);
  expect(relative(other, expected)).toBeGreaterThan(0.01);
});

test("warns if a budget uses fewer inputs than elements in each", async () => {
  const warned = async (samples: number): Promise<readonly string[]> => {
    const texts: string[] = [];
    const model = network({ fc: linear(12, 10) }, { input: ["batch", 12], seed: 1 });
    const data = memory("correlated", { input: float32([samples, 12], correlated(12, 1).slice(0, 12 * samples)) });
    const options = { budget: 0.7, activations: "whitening", data } as const;
    await factorize(model, options, { log: ({ text, level }) => void (level === "warning" && texts.push(text)) });
    return texts;
  };
  expect(await warned(5)).toEqual([
    'layer "fc": fewer inputs were seen than each has numbers, so the budget underestimates their ranks. Use more calibration samples.',
  ]);
  expect(await warned(12)).toEqual([]);
});

test("factorizes a layer by its weight alone if its inputs are unusable, with the reason", async () => {
  const model = parseModel(`opset 17
graph (ids: int64[batch, 4]) -> (y) {
  table: float32[40, 16] = random(seed 1)
  w: float32[16, 16] = random(seed 2)
  e = Gather "embedding" (table, ids)
  y = MatMul "fc" (e, w)
}`);
  const ids = int64(
    [count, 4],
    Array.from({ length: 4 * count }, (_, index) => (index * 7) % 40),
  );
  const data = memory("ids", { ids });
  const { changes } = await factorize(model, { overrides: { "*": { budget: 0.6 } }, activations: "whitening", data });
  const texts = new Map(changes.map(({ at, what }) => [at, what]));
  expect(texts.get("embedding")).toContain(" (it is an embedding lookup, without a matrix product)");
  expect(texts.get("fc")).not.toContain("alone");
});

describe("whitening with inputs that are zero on all samples", () => {
  const rare = network({ fc: linear(12, 12, { bias: false }) }, { input: ["batch", 12], seed: 1 });
  const dataOf = (input: Float32Array) => memory("rare", { input: float32([count, 12], input) });

  test("is exact on other inputs if the weight has the chosen rank", async () => {
    const draws = random(3);
    const normal = (rows: number, columns: number) =>
      fromDense(
        float32(
          [rows, columns],
          Float32Array.from({ length: rows * columns }, () => draws.normal()),
        ),
      );
    const model = rare.clone();
    const weight = model.graph.value("fc.weight");
    if (weight === undefined) throw new Error("no weight");
    weight.tensor = inMemory(float32([12, 12], multiply(normal(12, 3), normal(3, 12)).data));
    const thin = model.clone();
    const data = dataOf(correlated(12, 1).map((value, index) => (index % 12 < 6 ? value : 0)));
    await factorize(thin, { rank: 3, activations: "whitening", data });
    const other = correlated(12, 1);
    const [outputs, targets] = [await answers(thin, other, [count, 12]), await answers(model, other, [count, 12])];
    expect(relative(outputs, targets)).toBeLessThan(1e-5);
  });

  test("falls back to the weight alone if all inputs are 0, with the reason", async () => {
    const [zeros, plain] = [rare.clone(), rare.clone()];
    const data = dataOf(new Float32Array(count * 12));
    const { changes } = await factorize(zeros, { rank: 3, activations: "whitening", data });
    await factorize(plain, { rank: 3 });
    expect(changes[0]?.what).toContain("its inputs are 0 on all samples");
    const other = correlated(12, 1);
    expect(await answers(zeros, other, [count, 12])).toEqual(await answers(plain, other, [count, 12]));
  });
});
