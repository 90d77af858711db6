/** Rounding methods: those of Pith, and some of one's own through public imports alone. */
import { weightMatrices, weightNumbers } from "pith/analysis";
import { type Gram, gramMatrices } from "pith/calibrate";
import { memory } from "pith/data";
import { parseModel } from "pith/graph";
import { cholesky, identity, type Matrix, quantizeTensor, solveCholesky } from "pith/math";
import { fakeQuantize, mse, nearest, quantize, type Rounder, type ScaledGrid } from "pith/quantize";
import { float32, toFloat64, toNumbers } from "pith/tensor";
import { describe, expect, test } from "vitest";
import { cnn, difference, mlp, numbersFor, run, stored } from "./networks.ts";
import { dequantized } from "./reference.ts";

const x = numbersFor([64, 12]);

/** Everything towards zero, with the usual scales. */
const towardsZero: Rounder = {
  id: "towards zero",
  scales: (weight, grid) => nearest.scales(weight, grid),
  codes(weight, { scale, zeroPoint, axis }) {
    const [rows = 0, columns = 0] = weight.dims;
    return Array.from(toFloat64(weight), (value, at) => {
      const slice = axis === undefined ? 0 : axis === 0 ? Math.floor(at / columns) : at % (rows === 0 ? 1 : columns);
      return Math.trunc(value / (scale[slice] ?? 1)) + (zeroPoint[slice] ?? 0);
    });
  },
};

/** Column after column; what rounding one takes from the outputs, those after it make good (Frantar et al. 2022, not in blocks). */
const gptq: Rounder<Gram> = {
  id: "gptq",
  evidence: gramMatrices(),
  scales: (weight, grid) => nearest.scales(weight, grid),
  codes(weight, grid, { layer, evidence }) {
    const groups = weightMatrices(layer.role, weight.dims, toFloat64(weight)).map((matrix, group) =>
      compensated(matrix, evidence.groups[group], grid, group),
    );
    return weightNumbers(layer.role, weight.dims, groups);
  },
};

function compensated(weight: Matrix, gram: Matrix | undefined, grid: ScaledGrid, group: number): Matrix {
  const { rows, columns } = weight;
  if (gram === undefined) throw new Error("There is no Gram matrix.");
  const damped = { ...gram, data: gram.data.map((value, at) => value + (at % (columns + 1) === 0 ? 0.01 : 0)) };
  const lower = cholesky(damped);
  if (!("data" in lower)) throw new Error(lower.reason);
  const inverse = solveCholesky(lower, identity(columns)).data;
  const numbers = weight.data.slice();
  const codes = weight.data.slice();
  for (let column = 0; column < columns; column++) {
    const pivot = inverse[column * (columns + 1)] ?? 1;
    for (let row = 0; row < rows; row++) {
      const scale = grid.scale[group * rows + row] ?? 1;
      const value = numbers[row * columns + column] ?? 0;
      const code = Math.max(grid.low, Math.min(grid.high, Math.round(value / scale)));
      codes[row * columns + column] = code;
      for (let other = column + 1; other < columns; other++)
        numbers[row * columns + other] =
          (numbers[row * columns + other] ?? 0) -
          ((value - scale * code) / pivot) * (inverse[column * columns + other] ?? 0);
    }
    for (let row = column + 1; row < columns; row++)
      for (let other = column + 1; other < columns; other++)
        inverse[row * columns + other] =
          (inverse[row * columns + other] ?? 0) -
          ((inverse[row * columns + column] ?? 0) * (inverse[column * columns + other] ?? 0)) / pivot;
  }
  return { ...weight, data: codes };
}

describe("mse", () => {
  const weight = float32(
    [2, 400],
    Array.from({ length: 800 }, (_, at) => (at === 5 || at === 700 ? 4 : Math.sin(at * at) * 0.5)),
  );
  const errorOf = (rounder: typeof mse, bits: number): number => {
    const grid = {
      type: "int8",
      axis: 0,
      symmetric: true,
      low: -(2 ** (bits - 1)),
      high: 2 ** (bits - 1) - 1,
    } as const;
    const scales = rounder.scales(weight, grid);
    const close = dequantized(
      quantizeTensor(weight, {
        ...{ type: "int8", axis: 0, range: grid },
        scale: scales.map(({ scale }) => scale),
        zeroPoint: scales.map(({ zeroPoint }) => zeroPoint),
      }),
    );
    return close.data.reduce((sum, value, at) => sum + (value - (weight.data[at] ?? 0)) ** 2, 0);
  };

  test.each([2, 3, 4])("in %i bits an outlier is cut off, and the squared error is smaller", (bits) => {
    expect(errorOf(mse, bits)).toBeLessThan(0.8 * errorOf(nearest, bits));
  });

  test("where no cut is better, as of numbers that all are ±1 or 0, the scales are those of the whole range", () => {
    const plain = float32([1, 4], [1, -1, 0, 1]);
    for (const type of ["int8", "uint8"] as const) {
      const grid = {
        type,
        axis: 0,
        symmetric: true,
        low: type === "int8" ? -127 : 1,
        high: type === "int8" ? 127 : 255,
      };
      expect(mse.scales(plain, grid)).toEqual(nearest.scales(plain, grid));
    }
  });

  test("of a network: the outcome says so, and fake quantization takes its scales", async () => {
    const model = mlp();
    const { changes } = await quantize(model, { scheme: "weights", rounder: "mse" });
    expect(changes.map(({ what }) => what)).toEqual(
      Array(2).fill("weight as int8, per-channel scales, rounded by mse"),
    );
    const [usual, cut] = [cnn(), cnn()];
    await fakeQuantize(usual, { scheme: "weights", bits: 2 });
    await fakeQuantize(cut, { scheme: "weights", bits: 2, rounder: "mse" });
    const [a, b] = await Promise.all(
      [usual, cut].map(async (model) => toNumbers(await stored(model, "conv2.weight_scale"))),
    );
    expect(b?.every((scale, at) => scale <= (a?.[at] ?? 0))).toBe(true);
    expect(b).not.toEqual(a);
    // Codes keep the scales that the model has.
    const { changes: after } = await quantize(cut, { scheme: "weights" });
    expect(after[1]?.what).toBe("weight as int8 (2-bit values stored in 8 bits), per-channel scales");
    expect(toNumbers(await stored(cut, "conv2.weight_scale"))).toEqual(b);
  });
});

describe("a rounding method of one's own", () => {
  test.each(["weights", "dynamic", "static"] as const)("decides the codes: %s", async (scheme) => {
    const [usual, own] = [mlp(), mlp()];
    const data = scheme === "static" ? { data: memory("x", { x }) } : {};
    await quantize(usual, { scheme, ...data });
    const { changes } = await quantize(own, { scheme, ...data, rounder: towardsZero });
    expect(changes.some(({ what }) => what.endsWith(", rounded by towards zero"))).toBe(true);
    for (const name of ["fc1.weight", "fc2.weight"]) {
      const [a, b] = await Promise.all(
        [usual, own].map(async (model) => toNumbers(await stored(model, `${name}_quantized`))),
      );
      expect(b?.every((code, at) => Math.abs(code) <= Math.abs(a?.[at] ?? 0))).toBe(true);
      expect(b).not.toEqual(a);
      expect(await stored(own, `${name}_scale`)).toEqual(await stored(usual, `${name}_scale`));
    }
    expect(difference(await run(mlp(), { x }), await run(own, { x }))).toBeLessThan(0.1);
  });

  test("sees what comes into a layer: GPTQ is nearer to the outputs than rounding to the nearest code", async () => {
    // Inputs that depend on each other are what it lives on.
    const alike = float32(
      [64, 12],
      x.data.map((value, at) => 0.2 * value + (x.data[12 * Math.floor(at / 12)] ?? 0)),
    );
    const [usual, own] = [mlp(), mlp()];
    await quantize(usual, { scheme: "weights" });
    await quantize(own, { scheme: "weights", rounder: gptq, data: memory("x", { x: alike }) });
    const expected = await run(mlp(), { x: alike });
    const [a, b] = [await run(usual, { x: alike }), await run(own, { x: alike })];
    expect(squaredDistance(b, expected)).toBeLessThan(0.8 * squaredDistance(a, expected));
  });

  test("a convolution's evidence has a column for each tap of each input", async () => {
    const model = cnn();
    const pictures = numbersFor([8, 3, 8, 8]);
    const { misses } = await quantize(model, { scheme: "weights", rounder: gptq, data: memory("x", { x: pictures }) });
    expect(misses).toEqual([]);
    expect(difference(await run(cnn(), { x: pictures }), await run(model, { x: pictures }))).toBeLessThan(0.02);
  });

  test("a table has no product to look at: it stays", async () => {
    const model = parseModel(`opset 17
graph (ids: int64[batch, 3]) -> (y) {
  table.weight: float32[9, 4] = random(seed 1)
  fc.weight: float32[4, 2] = random(seed 2)
  h = Gather(table.weight, ids)
  y = MatMul(h, fc.weight)
}`);
    const ids = { type: "int64", dims: [2, 3], data: BigInt64Array.of(0n, 1n, 2n, 3n, 4n, 8n) } as const;
    const data = memory("ids", { ids });
    const { changes, misses } = await quantize(model, { scheme: "weights", rounder: gptq, data });
    expect(changes.map(({ at }) => at)).toEqual(["fc"]);
    expect(misses).toMatchObject([{ at: "table", reason: "it is an embedding lookup, without a matrix product" }]);
  });

  test("without samples that it needs, and with answers that are none, nothing changes", async () => {
    const model = mlp();
    const before = await stored(model, "fc1.weight");
    const scheme = "weights";
    await expect(quantize(model, { scheme, rounder: gptq })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining('the rounder "gptq" needs samples'),
    });
    const bad: readonly (readonly [Partial<Rounder>, string])[] = [
      [{ scales: () => [] }, 'Layer "fc1": The rounder "own" gives 0 scales for 16 slices'],
      [{ scales: () => Array(16).fill({ scale: 0, zeroPoint: 0 }) }, "gives the scale 0"],
      [{ scales: () => Array(16).fill({ scale: 1, zeroPoint: 3 }) }, "gives the zero point 3: 0 is expected"],
      [{ codes: () => [1, 2] }, "gives 2 codes for 192 numbers"],
      [{ codes: ({ dims: [a = 0, b = 0] }) => new Array(a * b).fill(0.5) }, "gives the code 0.5"],
    ];
    for (const [part, message] of bad)
      await expect(
        quantize(model, { scheme, rounder: { id: "own", scales: nearest.scales, ...part } }),
      ).rejects.toMatchObject({
        code: "E_OPTION",
        message: expect.stringContaining(message),
      });
    await expect(quantize(model, { scheme: "float16", rounder: "mse" })).rejects.toMatchObject({ code: "E_OPTION" });
    expect(await stored(model, "fc1.weight")).toEqual(before);
  });
});

function squaredDistance(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, at) => sum + (value - (b[at] ?? 0)) ** 2, 0);
}
