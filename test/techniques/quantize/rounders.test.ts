/** Rounding methods: those of Pith, and custom ones that a program defines through public imports. */

import { float32, inMemory, toNumbers } from "pith";
import { memory } from "pith/data";
import type { Solver } from "pith/extend";
import { fromDense, parseModel } from "pith/extend";
import { fakeQuantize, nearest, quantize, slicedWeight } from "pith/quantize";
import { describe, expect, test } from "vitest";
import { quantizeTensor } from "../../../src/techniques/quantize/quantize-tensor.ts";
import { gptq } from "../../../src/techniques/quantize/rounders/gptq.ts";
import { mse } from "../../../src/techniques/quantize/rounders/mse.ts";
import { matrixOf } from "../../core/math/matrix-of.ts";
import { hasExactProducts } from "../../int8-products.ts";
import { cnn, difference, mlp, numbersFor, run, stored } from "./networks.ts";
import { dequantized } from "./reference.ts";

const x = numbersFor([64, 12]);

/** Rounds towards zero, with the default scales. */
const towardsZero: Solver = {
  id: "towards zero",
  scales: nearest.scales,
  codes: ({ matrices, sliceAt }, { scale, zeroPoint }) =>
    matrices.map(({ rows, columns, data }, group) => ({
      ...{ rows, columns },
      data: data.map((value, at) => {
        const slice = sliceAt(group, Math.floor(at / columns), at % columns);
        return Math.trunc(value / (scale[slice] ?? 1)) + (zeroPoint[slice] ?? 0);
      }),
    })),
};

test.each([
  ["uint8", 0, 127],
  ["int8", -64, 64],
] as const)("nearest: the reduced range of %s covers all weights", (type, low, high) => {
  const weight = slicedWeight([matrixOf([[-1, Math.SQRT1_2, Math.LN2, 1]])], 1);
  const [{ scale = 0, zeroPoint = 0 } = {}] = nearest.scales(weight, { type, symmetric: false, low, high });
  expect((high - zeroPoint) * scale).toBeGreaterThan(0.98);
  expect((low - zeroPoint) * scale).toBeLessThan(-0.98);
});

describe("mse", () => {
  const weight = float32(
    [2, 400],
    Array.from({ length: 800 }, (_, at) => (at === 5 || at === 700 ? 4 : Math.sin(at * at) * 0.5)),
  );
  const errorOf = (rounder: typeof mse, bits: number): number => {
    const grid = { type: "int8", symmetric: true, low: -(2 ** (bits - 1)), high: 2 ** (bits - 1) - 1 } as const;
    const scales = rounder.scales(slicedWeight([fromDense(weight)], 2), grid);
    const close = dequantized(
      quantizeTensor(weight, {
        ...{ type: "int8", axis: 0, range: grid },
        scale: scales.map(({ scale }) => scale),
        zeroPoint: scales.map(({ zeroPoint }) => zeroPoint),
      }),
    );
    return close.data.reduce((sum, value, at) => sum + (value - (weight.data[at] ?? 0)) ** 2, 0);
  };

  test.each([2, 3, 4])("clips an outlier in %i bits, with a smaller squared error", (bits) => {
    expect(errorOf(mse, bits)).toBeLessThan(0.8 * errorOf(nearest, bits));
  });

  test("keeps the full range if clipping is not better, as for ±1 and 0", () => {
    const plain = slicedWeight([matrixOf([[1, -1, 0, 1]])], 1);
    for (const type of ["int8", "uint8"] as const) {
      const grid = { type, symmetric: true, low: type === "int8" ? -127 : 1, high: type === "int8" ? 127 : 255 };
      expect(mse.scales(plain, grid)).toEqual(nearest.scales(plain, grid));
    }
  });

  test("is reported in the changes of a network, and sets the scales of fake quantization", async () => {
    const model = mlp();
    const { changes } = await quantize(model, { scheme: "weights", rounder: "mse" });
    expect(changes.map(({ what }) => what)).toEqual(
      Array(2).fill("weight as int8, a scale per output channel, rounded by mse"),
    );
    const [usual, cut] = [cnn(), cnn()];
    await fakeQuantize(usual, { scheme: "weights", bits: 2 });
    await fakeQuantize(cut, { scheme: "weights", bits: 2, rounder: "mse" });
    const [a, b] = await Promise.all(
      [usual, cut].map(async (model) => toNumbers(await stored(model, "conv2.weight_scale"))),
    );
    expect(b?.every((scale, at) => scale <= (a?.[at] ?? 0))).toBe(true);
    expect(b).not.toEqual(a);
    // The export keeps the scales of the model.
    const { changes: after } = await quantize(cut, { scheme: "weights" });
    expect(after[1]?.what).toBe("weight as int4 (2-bit values stored in 4 bits), a scale per output channel");
    expect(toNumbers(await stored(cut, "conv2.weight_scale"))).toEqual(b);
  });
});

const lookingAtSamples = ["gptaq", "gptq"] as const;

/** Three products, for a single sample or with a batch axis. */
const products = (samples: string) =>
  parseModel(`opset 17
graph (x: float32[${samples}16]) -> (y: float32[${samples}4]) {
  fc1.weight: float32[16, 16] = random(seed 1)
  fc2.weight: float32[16, 12] = random(seed 2)
  fc3.weight: float32[12, 4] = random(seed 3)
  h = MatMul(x, fc1.weight)
  a = Relu(h)
  m = MatMul(a, fc2.weight)
  b = Relu(m)
  y = MatMul(b, fc3.weight)
}`);
const samplesOf16 = memory("x", { x: numbersFor([40, 16]) });

test.each(lookingAtSamples)("%s: gives the same values for models with and without a batch axis", async (rounder) => {
  const codes = async (samples: string) => {
    const model = products(samples);
    await quantize(model, { scheme: "weights", bits: 3, rounder, data: samplesOf16, equalize: false });
    const names = ["fc1", "fc2", "fc3"].map((name) => `${name}.weight_quantized`);
    return Promise.all(names.map(async (name) => [...toNumbers(await stored(model, name))]));
  };
  expect(await codes("")).toEqual(await codes("batch, "));
});

test.each(lookingAtSamples)(
  "%s: skips a layer with NaN in its weight, and rounds later layers without samples",
  async (rounder) => {
    const model = products("batch, ");
    const weight = model.graph.value("fc2.weight");
    if (weight?.tensor !== undefined)
      weight.tensor = inMemory(
        float32(
          [16, 12],
          toNumbers(await weight.tensor.read()).map((own, at) => (at === 5 ? Number.NaN : own)),
        ),
      );
    const warnings: string[] = [];
    const { changes, misses } = await quantize(
      model,
      { scheme: "weights", bits: 4, block: 16, rounder, data: samplesOf16 },
      { log: ({ level, text }) => void (level === "warning" && warnings.push(text)) },
    );
    expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc3"]);
    expect(misses).toMatchObject([{ at: "fc2", reason: "its weight holds NaN" }]);
    expect(warnings).toEqual(['layer "fc3" is rounded without samples: its input holds NaN on these samples']);
  },
);

test("a method that requires samples names the first layer without usable inputs", async () => {
  const { blind: _, ...seeing } = gptq;
  const data = memory("x", { x: float32([2, 16], Array(32).fill(Number.NaN)) });
  await expect(
    quantize(products("batch, "), { scheme: "weights", bits: 4, rounder: seeing, data }),
  ).rejects.toMatchObject({ message: 'Layer "fc1": its input holds NaN on these samples.' });
});

describe("a custom rounding method", () => {
  test.each(["weights", "dynamic", "static"] as const)("determines the quantized values: %s", async (scheme) => {
    const [nearestModel, customModel] = [mlp(), mlp()];
    const settings = {
      scheme,
      bits: 8,
      ...(scheme === "static" ? { data: memory("x", { x }), biasCorrection: "none" as const } : {}),
    } as const;
    await quantize(nearestModel, settings);
    const { changes } = await quantize(customModel, { ...settings, rounder: towardsZero });
    expect(changes.some(({ what }) => what.endsWith(", rounded by towards zero"))).toBe(true);
    for (const name of ["fc1.weight", "fc2.weight"]) {
      const [a, b] = await Promise.all(
        [nearestModel, customModel].map(async (model) => toNumbers(await stored(model, `${name}_quantized`))),
      );
      expect(b?.every((code, at) => Math.abs(code) <= Math.abs(a?.[at] ?? 0))).toBe(true);
      expect(b).not.toEqual(a);
      expect(await stored(customModel, `${name}_scale`)).toEqual(await stored(nearestModel, `${name}_scale`));
    }
    if (scheme === "weights" || hasExactProducts)
      expect(difference(await run(mlp(), { x }), await run(customModel, { x }))).toBeLessThan(0.1);
  });

  test("skips an embedding table unless the method accepts layers without statistics", async () => {
    const text = `opset 17
graph (ids: int64[batch, 3]) -> (y) {
  table.weight: float32[9, 4] = random(seed 1)
  fc.weight: float32[4, 2] = random(seed 2)
  h = Gather(table.weight, ids)
  y = MatMul(h, fc.weight)
}`;
    const ids = { type: "int64", dims: [2, 3], data: BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 8n) } as const;
    const data = memory("ids", { ids });
    const all = await quantize(parseModel(text), { scheme: "weights", rounder: "gptq", data });
    expect([all.changes.map(({ at }) => at), all.misses]).toEqual([["table", "fc"], []]);
    const { blind, ...seeing } = gptq;
    expect(blind).toBe(true);
    const { changes, misses } = await quantize(parseModel(text), { scheme: "weights", rounder: seeing, data });
    expect(changes.map(({ at }) => at)).toEqual(["fc"]);
    expect(misses).toMatchObject([{ at: "table", reason: "it is an embedding lookup, without a matrix product" }]);
  });

  test("changes nothing if required samples are missing or its results are invalid", async () => {
    const model = mlp();
    const before = await stored(model, "fc1.weight");
    const scheme = "weights";
    await expect(quantize(model, { scheme, rounder: "gptq" })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining('the rounder "gptq" needs samples'),
    });
    const bad: readonly (readonly [Partial<Solver>, string])[] = [
      [{ scales: () => [] }, 'Layer "fc1": The rounder "own" gives 0 scales for 16 slices'],
      [{ scales: () => Array(16).fill({ scale: 0, zeroPoint: 0 }) }, "gives the scale 0"],
      [{ scales: () => Array(16).fill({ scale: 1, zeroPoint: 3 }) }, "gives the zero point 3: 0 is expected"],
      [{ codes: () => [matrixOf([[1, 2]])] }, "gives 2 codes for 192 numbers"],
      [
        { codes: ({ matrices }) => matrices.map((one) => ({ ...one, data: one.data.map(() => 0.5) })) },
        "gives the code 0.5",
      ],
    ];
    for (const [part, message] of bad)
      await expect(
        quantize(model, { scheme, rounder: { id: "own", scales: nearest.scales, ...part } }),
      ).rejects.toMatchObject({ code: "E_OPTION", message: expect.stringContaining(message) });
    const named: Solver = { id: "nearest", scales: nearest.scales };
    for (const options of [{ scheme, weights: "palette" }, { scheme: "float16" }] as const)
      await expect(quantize(model, { ...options, rounder: named })).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(quantize(model, { scheme: "float16", rounder: "mse" })).rejects.toMatchObject({ code: "E_OPTION" });
    expect(await stored(model, "fc1.weight")).toEqual(before);
  });
});
