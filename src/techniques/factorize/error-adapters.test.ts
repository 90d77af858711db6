/** Tests adapters that start as a low-rank approximation of the quantization error (LoRC). */
import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { weightMatrices } from "../../core/analysis/weight.ts";
import { createEngine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { frobenius, subtract } from "../../core/math/matrix.ts";
import { svd } from "../../core/math/svd.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { train } from "../../learn/train/index.ts";
import { rewriteOnRead } from "../../rewrite/edit/migrate.ts";
import { readWeight } from "../../rewrite/edit/weight-numbers.ts";
import { type QuantizeOptions, quantize } from "../quantize/index.ts";
import { lora } from "./index.ts";

const text = `opset 21
graph (x: float32[batch, 64]) -> (y) {
  up.weight: float32[64, 96] = random(seed 1)
  down.weight: float32[96, 64] = random(seed 2)
  head.weight: float32[10, 64] = random(seed 3)
  head.bias: float32[10] = random(seed 4)
  u = MatMul "up" (x, up.weight)
  a = Relu (u)
  d = MatMul "down" (a, down.weight)
  y = Gemm "head" (d, head.weight, head.bias) {transB=1}
}`;
const image = `opset 21
graph (x: float32[batch, 8, 6, 6]) -> (y) {
  c.weight: float32[16, 4, 3, 3] = random(seed 1)
  y = Conv "c" (x, c.weight) {group=2, pads=[1, 1, 1, 1]}
}`;

const engine = createEngine();
const source = random(1, "x");
const numbers = (dims: readonly number[]) => ({
  type: "float32" as const,
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => source.normal()),
});

async function answers(model: Model, x: ReturnType<typeof numbers>): Promise<Float64Array> {
  const session = await engine.load(model);
  try {
    const { y } = await session.run({ x });
    return Float64Array.from(y?.data as Float32Array);
  } finally {
    await session.release();
  }
}

const distance = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, index) => value - (b[index] ?? Number.NaN))) / Math.hypot(...a);

const forms: readonly (readonly [string, string, QuantizeOptions])[] = [
  ["MatMulNBits of 4 bits", text, { scheme: "weights", bits: 4 }],
  ["MatMulNBits of 2 bits", text, { scheme: "weights", bits: 2 }],
  ["MatMulBnb4", text, { scheme: "weights", weights: "nf4" }],
  ["a palette", text, { scheme: "weights", weights: "palette", bits: 3 }],
  ["codes of 5 bits", text, { scheme: "weights", bits: 5 }],
  ["a grouped convolution", image, { scheme: "weights", bits: 3 }],
];

describe.each(forms)("error adapters for %s", (_, network, options) => {
  test("lower the output error and recover the largest singular values of the weight error", async () => {
    const [original, model] = [parseModel(network), parseModel(network)];
    await quantize(model, options);
    const rounded = model.clone();
    const { changes } = await lora(model, { errorOf: original, rank: network === text ? 8 : 4 });
    expect(changes.length).toBeGreaterThan(0);
    expect(verify(model)).toEqual([]);
    for (const { at, what } of changes) {
      const matrices = async (of: Model) => {
        const layer = layers(of, infer(of)).find(({ name }) => name === at);
        const weight = layer && (await readWeight(of, layer, engine));
        if (layer === undefined || weight === undefined || weight instanceof Miss) throw new Error(`no ${at}`);
        return weightMatrices(layer.role, weight.dims, Float64Array.from(weight.values));
      };
      const [weights, codes] = [await matrices(original), await matrices(rounded)];
      let [all, recovered] = [0, 0];
      for (const [group, weight] of weights.entries()) {
        const other = codes[group];
        if (other === undefined) throw new Error("no group");
        const error = subtract(weight, other);
        all += frobenius(error) ** 2;
        for (const value of svd(error).s.slice(0, network === text ? 8 : 4)) recovered += value * value;
      }
      expect(what).toContain(`takes ${Math.round((100 * recovered) / all)} % of the squared error`);
    }
    const x = numbers(network === text ? [512, 64] : [64, 8, 6, 6]);
    const exact = await answers(original, x);
    expect(distance(exact, await answers(model, x))).toBeLessThan(distance(exact, await answers(rounded, x)));
  });
});

test("skips layers without an error, with other dimensions or without an original, with the reason", async () => {
  const model = parseModel(text);
  const original = parseModel(
    text.replaceAll("down", "other").replace("float32[10, 64]", "float32[10, 64]").replace("[64, 96]", "[64, 96]"),
  );
  const { changes, misses } = await lora(model, { errorOf: original, rank: 4 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
    ["up", "its weight has no error"],
    ["down", "the original has no layer of this name"],
    ["head", "its weight has no error"],
  ]);
  const wider = parseModel(text.replaceAll("96", "80"));
  expect((await lora(parseModel(text), { errorOf: wider, rank: 4, layers: "up" })).misses).toMatchObject([
    { at: "up", reason: "its weight has other dimensions in the original" },
  ]);
});

test("skips layers whose scales migrated before quantization", async () => {
  const [original, model] = [parseModel(text), parseModel(text)];
  for (const [name, factor] of [
    ["up.weight", 8],
    ["down.weight", 1 / 8],
  ] as const) {
    const value = model.graph.value(name);
    if (value?.tensor !== undefined)
      value.tensor = await rewriteOnRead(
        value.tensor,
        (numbersOfWeight) =>
          void numbersOfWeight.forEach((element, index) => {
            numbersOfWeight[index] = element * factor;
          }),
      );
  }
  await quantize(model, { scheme: "weights", bits: 4 });
  const { changes, misses } = await lora(model, { errorOf: original, rank: 4 });
  expect(changes).toEqual([]);
  expect(misses.at(-1)?.reason).toContain("for instance after equalization");
  expect(adaptersIn(model)).toEqual([]);
});

const adaptersIn = (model: Model) => [...model.graph.values()].filter(({ name }) => name.includes(".lora."));

test("trains only the adapters of weights in packed blocks", async () => {
  const [original, model] = [parseModel(text), parseModel(text)];
  await quantize(model, { scheme: "weights", bits: 2 });
  const codes = [...model.graph.values()].filter(({ tensor }) => tensor?.type === "uint8");
  const before = await Promise.all(codes.map(async ({ tensor }) => (await tensor?.read())?.data));
  await lora(model, { errorOf: original, rank: 4 });
  const x = numbers([256, 64]);
  const exact = await answers(original, x);
  const classes = {
    type: "int64",
    dims: [256],
    data: BigInt64Array.from({ length: 256 }, (_, row) => BigInt(largest(exact.subarray(row * 10, row * 10 + 10)))),
  } as const;
  const data = memory("x", { x, label: classes });
  const { history } = await train(model, { data, epochs: 4, layers: "*.lora.*", learningRate: 1e-3 });
  expect(history.at(-1)?.loss).toBeLessThan(history[0]?.loss ?? 0);
  expect(await Promise.all(codes.map(async ({ tensor }) => (await tensor?.read())?.data))).toEqual(before);
});

const largest = (row: Float64Array): number => row.indexOf(row.reduce((a, b) => Math.max(a, b)));

describe("adapters of layers in integer arithmetic", () => {
  const warned = async (network: string, dims: readonly number[], options: QuantizeOptions): Promise<string[]> => {
    const [original, model] = [parseModel(network), parseModel(network)];
    await quantize(model, { ...options, data: memory("x", { x: numbers(dims) }) });
    const texts: string[] = [];
    const log = ({ level, text }: { readonly level?: string; readonly text: string }) =>
      void (level === "warning" && texts.push(text));
    await lora(model, { errorOf: original, rank: 4 }, { log });
    return texts;
  };

  test("warn that the layers are not fused and that convolutions run in float", async () => {
    expect(await warned(image, [16, 8, 6, 6], { scheme: "static", equalize: false })).toEqual([
      expect.stringMatching(/^Adapters slow down 1 layer in integer arithmetic \(c\): .* 1 of them now run in float, /),
    ]);
    const [products, ...convolutions] = await warned(text, [64, 64], { scheme: "static", bits: 4, equalize: false });
    expect(convolutions).toEqual([]);
    expect(products).toMatch(/^Adapters slow down 3 layers in integer arithmetic \(up, down and head\): /);
    expect(products).not.toContain("run in float now");
  });

  test("do not warn for weight-only quantization or without inserted adapters", async () => {
    expect(await warned(text, [64, 64], { scheme: "weights", bits: 4 })).toEqual([]);
    expect(await warned(text, [64, 64], { scheme: "dynamic", equalize: false })).toEqual([]);
  });
});
