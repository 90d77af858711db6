/** Solvers select the weights to prune, and correct the others. */
import { readFileSync } from "node:fs";
import type { Model } from "pith";
import { float32, inMemory, toNumbers } from "pith";
import { memory } from "pith/data";
import { type Gram, gramMatrices, parseModel, type Solver } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { random } from "../../../src/core/tensor/random.ts";

interface Layer {
  readonly rows: number;
  readonly columns: number;
  readonly weight: readonly number[];
  readonly x: readonly number[];
  readonly cases: readonly { readonly options: PruneOptions; readonly weights: readonly number[] }[];
}
const golden: { readonly layers: readonly Layer[] } = JSON.parse(
  readFileSync(new URL("../../golden/sparsegpt.generated.json", import.meta.url), "utf8"),
);

async function numbers(model: Model, name = "w"): Promise<number[]> {
  const tensor = model.graph.value(name)?.tensor ?? expect.fail(`there is no tensor ${name}`);
  return toNumbers(await tensor.read());
}

/** Returns a layer with golden values. */
function layer({ rows, columns, weight: units }: Layer): Model {
  const model = parseModel(`opset 17
graph (x: float32[n, ${columns}]) -> (y) {
  w: float32[${rows}, ${columns}] = random(seed 1)
  y = Gemm(x, w) {transB=1}
}`);
  const weight = model.graph.value("w") ?? expect.fail("there is no w");
  weight.tensor = inMemory(
    float32(
      [rows, columns],
      units.map((unit) => unit / 4096),
    ),
  );
  return model;
}
const inputsOf = ({ x, columns }: Layer) =>
  float32(
    [x.length / columns, columns],
    x.map((unit) => unit / 64),
  );
const [small = expect.fail("there is no layer")] = golden.layers;

const draw = random(7, "inputs");
/** Correlated inputs. */
const x = float32(
  [48, 6],
  Array.from({ length: 48 }, () => draw.normal()).flatMap((shared) =>
    Array.from({ length: 6 }, () => shared + 0.3 * draw.normal()),
  ),
);
const two = () =>
  parseModel(`opset 17
graph (x: float32[n, 6]) -> (y) {
  a: float32[6, 8] = random(seed 1)
  b: float32[8, 4] = random(seed 2)
  h = MatMul "first" (x, a)
  r = Relu(h)
  y = MatMul "second" (r, b)
}`);
const data = memory("x", { x });

async function answers(model: Model, x: ReturnType<typeof float32>): Promise<number[]> {
  const session = await createEngine().load(model);
  try {
    const { y } = await session.run({ x });
    return toNumbers(y ?? expect.fail("there is no y"));
  } finally {
    await session.release();
  }
}

const computeRmsDifference = (some: readonly number[], others: readonly number[]): number =>
  Math.sqrt(some.reduce((sum, value, at) => sum + (value - (others[at] ?? 0)) ** 2, 0) / some.length);

describe("SparseGPT", () => {
  test.each(golden.layers.flatMap((one) => one.cases.map((own) => ({ ...one, ...own }))))(
    "equals NumPy: $columns columns, $options",
    async ({ options, weights, ...one }) => {
      const model = layer(one);
      await prune(model, { ...options, solver: "sparsegpt", data: memory("x", { x: inputsOf(one) }) });
      const prunedWeights = await numbers(model);
      expect(prunedWeights.map((w) => w === 0)).toEqual(weights.map((w) => w === 0));
      prunedWeights.forEach((w, at) => {
        expect(w).toBeCloseTo(weights[at] ?? 0, 4);
      });
    },
  );

  test.each<PruneOptions>([{ amount: 0.5 }, { pattern: "2:4" }, { pattern: "rows", amount: 0.5 }])(
    "has less output error than pruning alone: %o",
    async (options) => {
      const [plain, corrected, inputs] = [layer(small), layer(small), inputsOf(small)];
      const [original, samples] = [await answers(layer(small), inputs), memory("x", { x: inputs })];
      await prune(plain, options);
      const { changes, misses } = await prune(corrected, { ...options, solver: "sparsegpt", data: samples });
      expect(changes).toHaveLength(1);
      expect(misses).toEqual([]);
      const error = computeRmsDifference(await answers(corrected, inputs), original);
      expect(error).toBeLessThan(0.8 * computeRmsDifference(await answers(plain, inputs), original));
    },
  );

  test("prunes a network layer by layer", async () => {
    const net = two();
    const { changes } = await prune(net, { amount: 0.5, solver: "sparsegpt", data });
    expect(changes.map(({ at, what }) => [at, what])).toEqual([
      ["first", "24 of 48 pruned, 24 of 48 left"],
      ["second", "16 of 32 pruned, 16 of 32 left"],
    ]);
    expect(computeRmsDifference(await answers(net, x), await answers(two(), x))).toBeLessThan(0.5);
  });

  test("reports the number of finished layers", async () => {
    const seen: (readonly [number, number | undefined])[] = [];
    const progress = (done: number, total?: number) => seen.push([done, total]);
    await prune(two(), { amount: 0.5, solver: "sparsegpt", data }, { progress });
    expect(seen).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });
});

describe("the statistics of a solver", () => {
  const seen = new Map<string, Gram>();
  /** Doubles each weight, and removes the first input of each output. */
  const doubled = (of?: "changed"): Solver<Gram> => ({
    id: "doubled",
    evidence: gramMatrices,
    ...(of === undefined ? {} : { of }),
    prune(weights, kept, _, { layer, evidence }) {
      seen.set(layer.name, evidence);
      return {
        weights: weights.map((one) => ({ ...one, data: one.data.map((w) => 2 * w) })),
        kept: kept.map((mask, group) => mask.map((_, at) => (at % (weights[group]?.columns ?? 1) === 0 ? 0 : 1))),
      };
    },
  });
  /** Returns the Gram matrix of the inputs of a model's second layer. */
  const gramOf = async (model: Model): Promise<number[]> => {
    const session = await createEngine().load(
      parseModel(`opset 17
graph (x: float32[n, 6]) -> (r) {
  a: float32[6, 8] = ${JSON.stringify(Array.from({ length: 6 }, (_, row) => (first.get(model) ?? []).slice(8 * row, 8 * row + 8)))}
  h = MatMul(x, a)
  r = Relu(h)
}`),
    );
    const { r } = await session.run({ x });
    await session.release();
    const rows = toNumbers(r ?? expect.fail("there is no r"));
    return Array.from({ length: 64 }, (_, at) =>
      Array.from(
        { length: 48 },
        (_, row) => (rows[8 * row + Math.floor(at / 8)] ?? 0) * (rows[8 * row + (at % 8)] ?? 0),
      ).reduce((sum, value) => sum + value, 0),
    );
  };
  const first = new Map<Model, number[]>();

  test.each([
    ["the original", undefined],
    ["the model whose earlier layers are pruned", "changed"],
  ] as const)("are those of %s", async (_, of) => {
    const [before, after] = [two(), two()];
    await prune(after, { amount: 0.5, solver: doubled(of), data });
    first.set(before, await numbers(before, "a"));
    first.set(after, await numbers(after, "a"));
    const expectedGram = await gramOf(of === undefined ? before : after);
    const actualGram = [...(seen.get("second")?.groups[0]?.data ?? [])];
    actualGram.forEach((value, at) => {
      expect(value / (expectedGram[at] ?? 0)).toBeCloseTo(1, 4);
    });
    expect(actualGram).toHaveLength(64);
  });
});

test("keeps pruned weights at 0, also with masks", async () => {
  const net = two();
  await prune(net, { amount: 0.5, layers: "first", keepMasks: true });
  const before = await numbers(net, "a_mask");
  const { changes } = await prune(net, { amount: 0.5, solver: "sparsegpt", data, keepMasks: true, layers: "first" });
  expect(changes.map(({ what }) => what)).toEqual(["12 of 24 pruned, 12 of 48 left"]);
  const after = await numbers(net, "a_mask");
  expect(after.every((kept, at) => kept <= (before[at] ?? 0))).toBe(true);
});

describe("prune rejects", () => {
  const odd = (prune: NonNullable<Solver["prune"]>): Solver => ({ id: "odd", prune });
  test.each<readonly [string, PruneOptions, RegExp]>([
    ["missing samples", { amount: 0.5, solver: "sparsegpt" }, /solver "sparsegpt" needs samples/],
    [
      "a criterion in addition",
      { amount: 0.5, solver: "sparsegpt", data, importance: "random" },
      /"solver": is for individual/,
    ],
    ["channels", { structured: 0.5, solver: "sparsegpt", data }, /"solver": is for individual/],
    ["too few values", { amount: 0.5, solver: odd((_, kept) => ({ weights: [], kept })) }, /"odd": expected a finite/],
    [
      "NaN",
      {
        amount: 0.5,
        solver: odd((weights, kept) => ({
          weights: weights.map((one) => ({ ...one, data: one.data.fill(NaN) })),
          kept,
        })),
      },
      /"odd": expected a finite number for each entry of layer "first"/,
    ],
    ["a missing mask", { amount: 0.5, solver: odd((weights) => ({ weights, kept: [] })) }, /"odd": expected 0 or 1/],
  ])("%s, and does not change the model", async (_, options, message) => {
    const net = two();
    const before = [await numbers(net, "a"), await numbers(net, "b")];
    await expect(prune(net, options)).rejects.toThrow(message);
    expect([await numbers(net, "a"), await numbers(net, "b")]).toEqual(before);
  });
});
