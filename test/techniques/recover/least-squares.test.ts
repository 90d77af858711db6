/** Least squares find weights that reproduce the original's outputs from a layer's inputs, if such weights exist. */
import { describe, expect, test } from "vitest";
import { Miss } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { mask } from "../../../src/core/graph/role.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { multiplyInJs } from "../../../src/core/math/matrix.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import { memory } from "../../../src/data/index.ts";
import { solveLayers } from "../../../src/techniques/recover/least-squares.ts";
import {
  addRows,
  emptySums,
  gradientAt,
  residual,
  solveRidge,
} from "../../../src/techniques/shared/normal-equations.ts";
import { matrixOf } from "../../core/math/matrix-of.ts";
import { value } from "../../find.ts";
import { noise } from "../../noise.ts";
import { apart, change, network, numbers, samples, scopeOf } from "./networks.ts";

const solve = async (changed: Model, original: Model, data: IndexedDataset) =>
  solveLayers.run(changed, await scopeOf(changed, original, data));

/** Returns the model in an older opset. */
function inOpset(model: Model, version: number): Model {
  model.header.opsets.set("", version);
  return model;
}

const product = (): Model =>
  network(
    "x: float32[n, 5]",
    "y: float32[n, 3]",
    { "a.weight": [3, 5], "a.bias": [3] },
    "  y = Gemm(x, a.weight, a.bias) {transB=1}",
  );

describe("disturbed weights are restored if the inputs determine them", () => {
  const image = "x: float32[n, 4, 6, 6]";
  const images = samples([32, 4, 6, 6]);
  test.each([
    ["a product and its bias", product(), samples([200, 5])],
    ["a product of operator set 9, which cannot be without a bias", inOpset(product(), 9), samples([200, 5])],
    [
      "a product over positions, a sum behind it",
      network(
        "x: float32[n, 7, 5]",
        "y: float32[n, 7, 3]",
        { "a.weight": [5, 3], "a.bias": [3] },
        "  h = MatMul(x, a.weight)\n  y = Add(h, a.bias)",
      ),
      samples([40, 7, 5]),
    ],
    [
      "a convolution with strides and padding",
      network(
        image,
        "y: float32[n, 3, 3, 3]",
        { "a.weight": [3, 4, 3, 3], "a.bias": [3] },
        "  y = Conv(x, a.weight, a.bias) {strides=[2, 2], pads=[1, 1, 1, 1]}",
      ),
      images,
    ],
    [
      "a convolution in groups",
      network(image, "y: float32[n, 6, 4, 4]", { "a.weight": [6, 2, 3, 3] }, "  y = Conv(x, a.weight) {group=2}"),
      images,
    ],
    [
      "a transposed convolution",
      network(
        image,
        "y: float32[n, 3, 12, 12]",
        { "a.weight": [4, 3, 2, 2], "a.bias": [3] },
        "  y = ConvTranspose(x, a.weight, a.bias) {strides=[2, 2]}",
      ),
      images,
    ],
  ])("%s", async (_, original, data) => {
    const changed = original.clone();
    await change(changed, "a.weight", (one, index) => one * (1 + (index % 3)) + 0.5);
    if (value(original, "a.weight").graph.value("a.bias") !== undefined)
      await change(changed, "a.bias", (one) => one - 2);
    expect(await apart(original, changed, data)).toBeGreaterThan(0.1);
    const { changed: solved, misses } = await solve(changed, original, data);
    expect(misses).toEqual([]);
    expect(solved).toBe(1);
    expect(await apart(original, changed, data)).toBeLessThan(1e-4);
    expect(verify(changed)).toEqual([]);
  });
});

test("the next layer compensates exactly for pruned channels that duplicate others", async () => {
  const weights = { "a.weight": [4, 3, 1, 1], "a.bias": [4], "b.weight": [2, 4, 3, 3], "b.bias": [2] };
  const nodes = "  h = Conv(x, a.weight, a.bias)\n  r = Relu(h)\n  y = Conv(r, b.weight, b.bias)";
  const original = network("x: float32[n, 3, 5, 5]", "y: float32[n, 2, 3, 3]", weights, nodes);
  // Channel 3 duplicates channel 1.
  const [w, b] = [await numbers(original, "a.weight"), await numbers(original, "a.bias")];
  const twice = [...w.subarray(0, 9), ...w.subarray(3, 6)];
  value(original, "a.weight").tensor = inMemory(float32([4, 3, 1, 1], twice));
  value(original, "a.bias").tensor = inMemory(float32([4], [...b.subarray(0, 3), b[1] ?? 0]));
  const remainingShapes = { "a.weight": [3, 3, 1, 1], "a.bias": [3], "b.weight": [2, 3, 3, 3], "b.bias": [2] };
  const changed = network("x: float32[n, 3, 5, 5]", "y: float32[n, 2, 3, 3]", remainingShapes, nodes);
  const wide = await numbers(original, "b.weight");
  const narrow = [0, 1].flatMap((output) => [...wide.subarray(36 * output, 36 * output + 27)]);
  value(changed, "a.weight").tensor = inMemory(float32([3, 3, 1, 1], twice.slice(0, 9)));
  value(changed, "a.bias").tensor = inMemory(float32([3], [...b.subarray(0, 3)]));
  value(changed, "b.weight").tensor = inMemory(float32([2, 3, 3, 3], narrow));
  value(changed, "b.bias").tensor = inMemory(float32([2], [...(await numbers(original, "b.bias"))]));
  const data = samples([64, 3, 5, 5]);
  expect(await apart(original, changed, data)).toBeGreaterThan(0.05);
  await solve(changed, original, data);
  expect(await apart(original, changed, data)).toBeLessThan(1e-3);
});

test("restores a layer that needs more samples than the layers before it", async () => {
  const original = network(
    "x: float32[n, 3, 16, 16]",
    "y: float32[n, 6]",
    { "a.weight": [4, 3, 3, 3], "a.bias": [4], "b.weight": [6, 4], "b.bias": [6] },
    "  h = Conv(x, a.weight, a.bias)\n  r = Relu(h)\n  m = GlobalAveragePool(r)\n  f = Flatten(m)\n  y = Gemm(f, b.weight, b.bias) {transB=1}",
  );
  const changed = original.clone();
  for (const name of ["a.weight", "b.weight"]) await change(changed, name, (one, index) => one * (1 + (index % 3)));
  const data = samples([150, 3, 16, 16]);
  expect(await apart(original, changed, data)).toBeGreaterThan(0.1);
  await solve(changed, original, data);
  expect(await apart(original, changed, data)).toBeLessThan(1e-3);
});

describe("pruned weights stay zero", () => {
  const build = () =>
    network("x: float32[n, 6]", "y: float32[n, 4]", { "a.weight": [6, 4] }, "  y = MatMul(x, a.weight)");
  /** Correlated inputs, so that the remaining channels can compensate for removed ones. */
  const drawn = noise([240, 6], 3).data;
  const alike = drawn.map((one, at) => one * 0.3 + (drawn[6 * Math.floor(at / 6)] ?? 0));
  const rows = memory("rows", { x: float32([240, 6], alike) });
  const kept = (_: number, at: number): number => Number(at % 3 !== 0 && at !== 7);

  test.each(["a mask", "zeros"])("%s", async (how) => {
    const original = build();
    const changed =
      how === "zeros"
        ? build()
        : network(
            "x: float32[n, 6]",
            "y: float32[n, 4]",
            { "a.weight_orig": [6, 4], "a.weight_mask": [6, 4] },
            "  a.weight = Mul(a.weight_orig, a.weight_mask)\n  y = MatMul(x, a.weight)",
          );
    if (how === "zeros") await change(changed, "a.weight", (one, at) => one * kept(one, at));
    else {
      value(changed, "a.weight_orig").tensor = value(original, "a.weight").tensor;
      value(changed, "a.weight_mask").role = mask;
      await change(changed, "a.weight_mask", kept);
    }
    const before = await apart(original, changed, rows);
    const weight = how === "zeros" ? "a.weight" : "a.weight_orig";
    const was = await numbers(changed, weight);
    expect((await solve(changed, original, rows)).changed).toBe(1);
    expect(await apart(original, changed, rows)).toBeLessThan(before);
    const now = await numbers(changed, weight);
    now.forEach((one, at) => {
      if (kept(one, at) === 0) expect(one === was[at]).toBe(true);
    });
    expect(now.filter((one, at) => one !== was[at]).length).toBeGreaterThan(5);
  });
});

describe("skipped layers, with the reason", () => {
  const data = samples([64, 4]);
  const feed = "x: float32[n, 4]";
  test("skips weights that are not floats, and weights that two layers share", async () => {
    const text =
      "  s: float32[] = 0.5\n  z: int8[] = 0\n  a.weight = DequantizeLinear(q, s, z)\n  y = MatMul(x, a.weight)";
    const codes = network(feed, "y: float32[n, 4]", {}, `  q: int8[4, 4] = [${new Array(16).fill(1)}]\n${text}`);
    const outcome = await solve(codes, codes.clone(), data);
    expect(outcome).toMatchObject({ changed: 0, misses: [{ reason: "its weight is quantized already" }] });
    const shared = network(feed, "y: float32[n, 4]", { w: [4, 4] }, "  h = MatMul(x, w)\n  y = MatMul(h, w)");
    const { changed, misses } = await solve(shared, shared.clone(), data);
    expect(changed).toBe(0);
    expect(misses.map(({ reason }) => reason)).toEqual(["its weight is shared", "its weight is shared"]);
  });

  test("skips a layer that scales its bias, because its outputs are not only a product", async () => {
    const text = "  y = Gemm(x, a.weight, a.bias) {beta=2.0}";
    const model = network(feed, "y: float32[n, 3]", { "a.weight": [4, 3], "a.bias": [3] }, text);
    const changed = model.clone();
    await change(changed, "a.weight", (one) => one + 0.5);
    const reason = "its bias is not a stored vector with a number for each output";
    expect(await solve(changed, model, data)).toMatchObject({ changed: 0, misses: [{ at: "a", reason }] });
  });

  test("a layer that already computes the original's outputs keeps its weights bit for bit", async () => {
    const model = network(feed, "y: float32[n, 3]", { "a.weight": [4, 3] }, "  y = MatMul(x, a.weight)");
    expect(await solve(model, model.clone(), data)).toMatchObject({ changed: 0, misses: [] });
  });

  test("skips a layer that the original does not have", async () => {
    const model = network(feed, "y: float32[n, 3]", { "a.weight": [4, 3] }, "  y = MatMul(x, a.weight)");
    const other = network(feed, "z: float32[n, 3]", { "b.weight": [4, 3] }, "  z = MatMul(x, b.weight)");
    const { changed, misses } = await solve(model, other, data);
    expect(changed).toBe(0);
    expect(misses).toMatchObject([{ at: "a", reason: "the original has no such layer" }]);
  });
});

describe("the linear systems", () => {
  const rows = matrixOf([
    [1, 2, 1],
    [0, 1, 1],
    [2, -1, 1],
    [1, 1, 1],
  ]);
  const targets = matrixOf([[5], [2], [1], [4]]);

  test("without damping, the normal equations hold, and the residual is that of the rows", async () => {
    const sums = emptySums(3, 1);
    await addRows(sums, rows, targets, multiplyInJs);
    const start = matrixOf([[0], [0], [0]]);
    const step = await solveRidge(
      sums,
      await gradientAt(sums, start, multiplyInJs),
      { damping: 1e-15, free: undefined, ones: 2 },
      multiplyInJs,
    );
    if (step instanceof Miss) throw new Error(step.reason);
    for (const component of (await gradientAt(sums, step, multiplyInJs)).data) expect(component).toBeCloseTo(0, 10);
    const direct = [0, 1, 2, 3].reduce((sum, row) => {
      const prediction = [0, 1, 2].reduce((own, at) => own + (rows.data[3 * row + at] ?? 0) * (step.data[at] ?? 0), 0);
      return sum + ((targets.data[row] ?? 0) - prediction) ** 2;
    }, 0);
    expect(await residual(sums, step, multiplyInJs)).toBeCloseTo(direct, 10);
  });

  test("an infinite damping keeps the weights, but not the bias", async () => {
    const sums = emptySums(3, 1);
    await addRows(sums, rows, targets, multiplyInJs);
    const start = matrixOf([[0], [0], [0]]);
    const step = await solveRidge(
      sums,
      await gradientAt(sums, start, multiplyInJs),
      { damping: 1e12, free: undefined, ones: 2 },
      multiplyInJs,
    );
    if (step instanceof Miss) throw new Error(step.reason);
    expect(step.data[0]).toBeCloseTo(0, 8);
    expect(step.data[2]).toBeCloseTo(3, 8);
  });

  test("fixed entries do not change, and the others are solved without them", async () => {
    const sums = emptySums(3, 1);
    await addRows(sums, rows, targets, multiplyInJs);
    const gradient = await gradientAt(sums, matrixOf([[0], [0], [0]]), multiplyInJs);
    const step = await solveRidge(
      sums,
      gradient,
      { damping: 1e-15, free: Uint8Array.of(0, 1, 0), ones: undefined },
      multiplyInJs,
    );
    if (step instanceof Miss) throw new Error(step.reason);
    // The solution for one unknown is Σ x y / Σ x².
    expect([...step.data]).toEqual([0, expect.closeTo((10 + 2 - 1 + 4) / 7, 10), 0]);
  });

  test.each([1, 2])(
    "the normal equations hold for the free entries of each output, with %i fixed entries",
    async (count) => {
      const sums = emptySums(3, 2);
      const twoTargets = matrixOf([...targets.data].map((value, row) => [value, row - value]));
      await addRows(sums, rows, twoTargets, multiplyInJs);
      const gradient = await gradientAt(
        sums,
        matrixOf([
          [0, 0],
          [0, 0],
          [0, 0],
        ]),
        multiplyInJs,
      );
      const free = Uint8Array.from({ length: 6 }, (_, at) => Number((at >> 1) + (at & 1) >= count));
      const step = await solveRidge(sums, gradient, { damping: 1e-15, free, ones: undefined }, multiplyInJs);
      if (step instanceof Miss) throw new Error(step.reason);
      const remaining = await gradientAt(sums, step, multiplyInJs);
      for (const [at, isFree] of free.entries()) expect((isFree === 1 ? remaining : step).data[at]).toBeCloseTo(0, 9);
    },
  );
});
