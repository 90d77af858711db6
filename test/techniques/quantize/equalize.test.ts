/** Tests outliers of activations, in networks with equal outputs: the tests migrate factors to create outliers. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { scaleGroups } from "../../../src/core/analysis/scale-groups.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { migrate } from "../../../src/rewrite/edit/move-factors.ts";
import { gramMatrices } from "../../../src/techniques/calibrate/gram.ts";
import type { Solver } from "../../../src/techniques/calibrate/solver.ts";
import { awq, awqFactors } from "../../../src/techniques/quantize/equalize/awq.ts";
import { smoothQuant } from "../../../src/techniques/quantize/equalize/smooth-quant.ts";
import { equalize, type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { scalesByOutputError } from "../../../src/techniques/quantize/rounders/scales-by-output-error.ts";
import type { StaticSettings, WeightsSettings } from "../../../src/techniques/quantize/settings.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../shared.ts";
import { difference, numbersFor, run } from "./networks.ts";

const normalized = `opset 21
graph (x: float32[batch, 5, 16]) -> (y) {
  gamma: float32[16] = random(seed 1, from 0.5 to 1.5)
  beta: float32[16] = random(seed 2, from -0.5 to 0.5)
  up.weight: float32[16, 24] = random(seed 3)
  side.weight: float32[16, 8] = random(seed 4)
  n = LayerNormalization (x, gamma, beta) {axis=-1}
  u = MatMul "up" (n, up.weight)
  s = MatMul "side" (n, side.weight)
  y = Concat (u, s) {axis=2}
}`;

const convolved = `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y) {
  first.weight: float32[12, 3, 3, 3] = random(seed 1)
  first.bias: float32[12] = random(seed 2)
  second.weight: float32[6, 12, 3, 3] = random(seed 3)
  a = Conv "first" (x, first.weight, first.bias) {pads=[1, 1, 1, 1]}
  r = Relu (a)
  y = Conv "second" (r, second.weight) {pads=[1, 1, 1, 1]}
}`;

const inputs = { normalized: [64, 5, 16], convolved: [64, 3, 8, 8] } as const;
const texts = { normalized, convolved };
type Name = keyof typeof texts;

/** A network with a channel of a hundred times larger range, which is read with weights a hundred times smaller. */
async function withOutlier(name: Name): Promise<Model> {
  const model = parseModel(texts[name]);
  const [group] = scaleGroups(model, infer(model)).filter(({ units, refused }) => refused.size < units);
  if (group === undefined) throw new Error("No factor moves.");
  const factors = new Float64Array(group.units).fill(1);
  factors[3] = 128;
  await migrate(model, group, factors);
  return model;
}

const unmeasured = async () => undefined;

const shared = {
  perChannel: true,
  zeroPoints: false,
  overrides: undefined,
  rounder: "nearest",
  samples: 64,
  equalize: true,
  biasCorrection: "full",
} as const;
const usual = { ...shared, scheme: "static", bits: 7, activations: "uint8", ranges: "min-max" } as const;

const samples = (name: Name) => numbersFor(inputs[name], 5);

async function error(name: Name, model: Model, options: Partial<QuantizeOptions>) {
  const x = samples(name);
  const before = await run(parseModel(texts[name]), { x });
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x }), ...options });
  return { error: difference(before, await run(model, { x })), changes };
}

describe.each(Object.keys(texts) as Name[])("an outlier channel, %s", (name) => {
  test.each(["static", "dynamic"] as const)("adds no error: %s", async (scheme) => {
    const usual = (await error(name, parseModel(texts[name]), { scheme })).error;
    const outlier = await withOutlier(name);
    const unequalized = await error(name, outlier.clone(), { scheme, equalize: false });
    const moved = await error(name, outlier, { scheme });
    expect(unequalized.error).toBeGreaterThan(5 * usual);
    expect(moved.error).toBeLessThan(1.5 * usual);
    const readers = name === "normalized" ? ["up", "side"] : ["second"];
    expect(moved.changes.filter(({ kind }) => kind === "scaled").map(({ at }) => at)).toEqual(readers);
  });

  test("is not equalized if no reading layer is in integer arithmetic with per-channel scales", async () => {
    const model = await withOutlier(name);
    const readers = name === "normalized" ? ["up", "side"] : ["second"];
    const options: Partial<QuantizeOptions>[] = [
      { activations: "uint16" },
      ...(name === "convolved" ? [{ except: readers }] : []),
    ];
    for (const option of options) {
      const { changes } = await error(name, model.clone(), option);
      expect(changes.filter(({ kind }) => kind === "scaled")).toEqual([]);
    }
  });

  test("is not equalized in a float16 model, whose layers are not quantized", async () => {
    const model = await withOutlier(name);
    await quantize(model, { dtype: "fp16" });
    const { changes } = await error(name, model, {});
    expect(changes).toEqual([]);
  });

  test("is not equalized if an override keeps its readers in float", async () => {
    const readers = name === "normalized" ? ["up", "side"] : ["second"];
    const overrides = Object.fromEntries(readers.map((reader) => [reader, { float: true }]));
    const { changes } = await error(name, await withOutlier(name), { overrides });
    expect(changes.filter(({ kind }) => kind === "scaled")).toEqual([]);
  });

  test("is equalized by the pass `equalize`, with the same result as within quantize", async () => {
    const [model, x] = [await withOutlier(name), samples(name)];
    const options = { scheme: "static", data: memory("x", { x }) } as const;
    const [directModel, steps] = [model.clone(), model.clone()];
    await quantize(directModel, options);
    const { changes } = await equalize(steps, options);
    expect(changes).not.toEqual([]);
    expect(difference(await run(model, { x }), await run(steps, { x }))).toBeLessThan(1e-5);
    await quantize(steps, { ...options, equalize: false });
    expect(await run(steps, { x })).toEqual(await run(directModel, { x }));
  });

  test("does not exist in a network with even channels, which keeps its weights", async () => {
    const { changes } = await error(name, parseModel(texts[name]), {});
    expect(changes.filter(({ kind }) => kind === "scaled")).toEqual([]);
  });

  test("is migrated without changing the float outputs by a bit", async () => {
    const [model, x] = [await withOutlier(name), samples(name)];
    const before = await run(model, { x });
    const settings: StaticSettings = { ...usual, data: memory("x", { x }) };
    const changes = await smoothQuant.apply(model, settings, completeContext({}), unmeasured);
    expect(changes).not.toEqual([]);
    expect(await run(model, { x })).toEqual(before);
  });
});

describe("low-bit weights", () => {
  /** Few channels have a large range after the normalization, as in large language models. */
  const uneven = `opset 21
graph (x: float32[batch, 5, 64]) -> (y) {
  gamma: float32[64] = [${Array.from({ length: 64 }, (_, at) => (at % 16 === 3 ? 12 : 0.5)).join(", ")}]
  up.weight: float32[64, 24] = random(seed 3)
  side.weight: float32[64, 8] = random(seed 4)
  n = SimplifiedLayerNormalization (x, gamma) {axis=-1}
  u = MatMul "up" (n, up.weight)
  s = MatMul "side" (n, side.weight)
  y = Concat (u, s) {axis=2}
}`;
  const x = numbersFor([64, 5, 64], 5);
  const fewBits = { ...shared, scheme: "weights", bits: 4, onnxOnly: false } as const;
  const moved = async (options: Partial<Omit<WeightsSettings, "scheme">>, text = uneven) => {
    const model = parseModel(text);
    const settings: WeightsSettings = { ...fewBits, ...options };
    const changes = awq.suits(settings) ? await awq.apply(model, settings, completeContext({}), unmeasured) : [];
    return { model, names: changes.map(({ at }) => at) };
  };

  test("are scaled for large activations (AWQ) without changing the outputs", async () => {
    const { model, names } = await moved({ data: memory("x", { x }) });
    expect(names).toEqual(["up", "side"]);
    expect(difference(await run(parseModel(uneven), { x }), await run(model, { x }))).toBeLessThan(1e-6);
  });

  test.each(["nearest", "mse", "gptq"] as const)(
    "have less error with AWQ, also on other samples: %s",
    async (rounder) => {
      const test = numbersFor([64, 5, 64], 6);
      const errorWith = async (isEqualized: boolean): Promise<number> => {
        const model = parseModel(uneven);
        await quantize(model, { scheme: "weights", bits: 4, rounder, equalize: isEqualized, data: memory("x", { x }) });
        return difference(await run(parseModel(uneven), { x: test }), await run(model, { x: test }));
      };
      expect(await errorWith(true)).toBeLessThan(0.95 * (await errorWith(false)));
    },
  );

  test("are clipped for the smallest error of outputs (AWQ's second search) instead of weights", async () => {
    const test = numbersFor([64, 5, 64], 6);
    const errorBy = async (rounder: QuantizeOptions["rounder"]): Promise<number> => {
      const model = parseModel(uneven);
      await quantize(model, { scheme: "weights", bits: 4, rounder, data: memory("x", { x }) });
      return difference(await run(parseModel(uneven), { x: test }), await run(model, { x: test }));
    };
    expect(
      await errorBy({
        id: "least output error",
        of: "changed",
        evidence: gramMatrices,
        scales: scalesByOutputError,
      } as Solver),
    ).toBeLessThan(await errorBy("mse"));
  });

  test("are not scaled in a float16 model, whose products have no blocks", async () => {
    const model = parseModel(uneven);
    await quantize(model, { dtype: "fp16" });
    const options: WeightsSettings = { ...fewBits, data: memory("x", { x }) };
    expect(await awq.apply(model, options, completeContext({}), unmeasured)).toEqual([]);
  });

  test("are not scaled without samples, with 8 bits, or without blocks", async () => {
    const data = memory("x", { x });
    for (const options of [{}, { data, bits: 8 }, { data, bits: 3 }] as const)
      expect((await moved(options)).names).toEqual([]);
  });

  test("are not scaled if activations are even", async () => {
    expect((await moved({ data: memory("x", { x }) }, uneven.replaceAll("12", "0.5"))).names).toEqual([]);
  });

  const reference = golden<{ awq: readonly Awq[] }>("quantization")?.awq.filter((one) => one.duo_scaling);
  test.skipIf(reference === undefined)("have the factors of NumPy", () => {
    for (const { x_mean, w_mean, scales, best_i } of reference ?? []) {
      const factors = awqFactors(goldenNumbers(x_mean), goldenNumbers(w_mean), best_i / 20);
      const expected = goldenNumbers(scales).map((scale) => 1 / scale);
      expect(difference(expected, factors)).toBeLessThan(1e-6);
    }
  });
});

interface Awq {
  readonly duo_scaling: boolean;
  readonly x_mean: GoldenTensor;
  readonly w_mean: GoldenTensor;
  readonly scales: GoldenTensor;
  readonly best_i: number;
}

describe("an outlier of values, from a product for queries, keys and values", () => {
  const fused = `opset 21
graph (x: float32[batch, 5, 16]) -> (y) {
  qkv.weight: float32[16, 48] = random(seed 1)
  out.weight: float32[16, 8] = random(seed 2)
  shape: int64[4] = [0, 5, 3, 16]
  third: int64[] = [2]
  h = MatMul "qkv" (x, qkv.weight)
  r = Reshape (h, shape)
  v = Gather (r, third) {axis=2}
  y = MatMul "out" (v, out.weight)
}`;
  const x = numbersFor([64, 5, 16], 5);
  const quantized = async (by: number, options: Partial<QuantizeOptions> = {}) => {
    const model = parseModel(fused);
    for (const [name, at, factor] of [
      ["qkv.weight", (index: number) => index % 48 === 35, by],
      ["out.weight", (index: number) => Math.floor(index / 8) === 3, 1 / by],
    ] as const) {
      const value = model.graph.value(name) ?? expect.fail();
      const numbers = toNumbers((await value.tensor?.read()) ?? expect.fail());
      const dims = value.tensor?.dims ?? [];
      value.tensor = inMemory(
        float32(
          dims,
          numbers.map((number, index) => (at(index) ? number * factor : number)),
        ),
      );
    }
    const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x }), ...options });
    const error = difference(await run(parseModel(fused), { x }), await run(model, { x }));
    return { error, scaled: changes.filter(({ kind }) => kind === "scaled").map(({ at }) => at) };
  };

  test("is scaled by a node before its reader if no weight can absorb the factor", async () => {
    const [usual, unequalized, moved] = [
      await quantized(1),
      await quantized(128, { equalize: false }),
      await quantized(128),
    ];
    expect([usual.scaled, moved.scaled]).toEqual([[], ["out"]]);
    expect(unequalized.error).toBeGreaterThan(5 * usual.error);
    expect(moved.error).toBeLessThan(1.5 * usual.error);
  });
});

describe("a channel far from 0", () => {
  /** Channel 2 of the first layer has values 40 higher than the others. */
  const high = (act: string, pads = "[0, 0, 0, 0]") => `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y) {
  first.weight: float32[8, 3, 3, 3] = random(seed 1)
  first.bias: float32[8] = [0, 0, 40, 0, 0.1, 0, 0, 0.2]
  second.weight: float32[6, 8, 3, 3] = random(seed 3)
  second.bias: float32[6] = random(seed 4)
  a = Conv "first" (x, first.weight, first.bias)
  r = ${act} (a)
  y = Conv "second" (r, second.weight, second.bias) {pads=${pads}}
}`;
  const x = numbersFor([64, 3, 8, 8], 5);
  const quantized = async (text: string, options: Partial<QuantizeOptions>) => {
    const model = parseModel(text);
    const settings = { scheme: "static", data: memory("x", { x }), biasCorrection: "none" } as const;
    const { changes } = await quantize(model, { ...settings, ...options });
    const error = difference(await run(parseModel(text), { x }), await run(model, { x }));
    return { error, absorbed: changes.filter(({ what }) => what.includes("minimums absorbed")).map(({ at }) => at) };
  };

  test("moves its minimum to the biases of the next layer, which reduces the error", async () => {
    const [plain, moved] = [await quantized(high("Relu"), { equalize: false }), await quantized(high("Relu"), {})];
    expect([plain.absorbed, moved.absorbed]).toEqual([[], ["first"]]);
    expect(moved.error).toBeLessThan(0.5 * plain.error);
  });

  test("keeps its minimum if a convolution pads with zeros, or after another function", async () => {
    for (const text of [high("Relu", "[1, 1, 1, 1]"), high("Sigmoid")])
      expect((await quantized(text, {})).absorbed).toEqual([]);
  });
});
