import { describe, expect, it, vi } from "vitest";
import { topologies, topology } from "../../test/zoo/topologies.ts";
import { cost as costOf } from "../analysis/cost.ts";
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { createEngine } from "../engine/index.ts";
import { structureHash } from "../graph/hash.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { verify } from "../graph/verify.ts";
import { fromDense, type Matrix, multiply } from "../math/index.ts";
import { linear, network, relu } from "../nn/index.ts";
import type { Context } from "../passes/index.ts";
import { quantize } from "../quantize/index.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { float32, inMemory, int64 } from "../tensor/dense.ts";
import { dimValue, elementCount } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Batch } from "../tensor/types.ts";
import { decompositions } from "./decompositions.ts";
import { factorize as factorizeTimed } from "./factorize.ts";
import type { FactorizeOptions } from "./options.ts";

const engine = createEngine();

/** Where times are not what is tested. */
const factorize = (model: Model, options: FactorizeOptions, context: Partial<Context> = {}) =>
  factorizeTimed(model, { timing: false, ...options }, context);

function inputsOf(name: string): Batch {
  const numbers = random(1, "inputs");
  return Object.fromEntries(
    Object.entries(topology(name).inputs).map(([input, dims]) => [
      input,
      float32(
        dims,
        Float32Array.from({ length: elementCount(dims) }, () => numbers.normal()),
      ),
    ]),
  );
}

async function run(model: Model, feeds: Batch): Promise<number[]> {
  const session = await engine.load(model);
  const outputs = await session.run(feeds);
  await session.release();
  return Object.values(outputs).flatMap((output) => Array.from(output.data as Float32Array));
}

async function matrixAt(model: Model, name: string): Promise<Matrix> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new Error(`There is no ${name}.`);
  return fromDense(await tensor.read());
}

/** Of one sample. */
const macsOf = (model: Model): number => {
  const { macs } = costOf(model, infer(model));
  return typeof macs === "number" ? macs : (dimValue(macs ?? 0, { batch: 1 }) ?? Number.NaN);
};

const shape = { input: ["batch", 784], seed: 1 } as const;
const mlp = () => network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, shape);
/** How many floats the model stores. */
const storedCount = (model: Model): number =>
  [...model.graph.values()].reduce(
    (sum, { tensor }) => sum + (tensor === undefined || tensor.type === "int64" ? 0 : elementCount(tensor.dims)),
    0,
  );

const storedIn = (model: Model): string[] =>
  [...model.graph.values()].flatMap(({ name, tensor }) => (tensor === undefined ? [] : [name])).toSorted();
const dims = (model: Model, name: string) => model.graph.value(name)?.tensor?.dims;

describe("factorize", () => {
  it("puts two thin layers in place of a wide one", async () => {
    const model = mlp();
    const { changes, misses } = await factorize(model, { layers: "fc1", rank: 32 });
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(["fc1"]);
    expect(dims(model, "fc1.down.weight")).toEqual([32, 784]);
    expect(dims(model, "fc1.up.weight")).toEqual([128, 32]);
    expect(model.graph.value("fc1.weight")).toBeUndefined();
    expect(layers(model, infer(model)).map(({ name }) => name)).toEqual(["fc1.down", "fc1.up", "fc2"]);
    expect(verify(model)).toEqual([]);
  });

  it("keeps the role: what was trained is trained on", async () => {
    const model = mlp();
    await factorize(model, { layers: "fc1", rank: 8 });
    expect(model.graph.value("fc1.down.weight")?.role).toEqual({ kind: "parameter" });
  });

  it("is exact where the matrix has that rank", async () => {
    const model = parseModel(topology("gemm-chain").text);
    const weight = model.graph.value("fc1.weight");
    const [u, w] = [random(5), random(6)].map((numbers) => Float64Array.from({ length: 48 }, () => numbers.normal()));
    const product = Float32Array.from({ length: 16 * 12 }, (_, index) => {
      const [row, column] = [Math.floor(index / 12), index % 12];
      return [0, 1, 2].reduce((sum, k) => sum + (u?.[row * 3 + k] ?? 0) * (w?.[k * 12 + column] ?? 0), 0);
    });
    if (weight === undefined) throw new Error("the topology has no fc1");
    weight.tensor = inMemory(float32([16, 12], product));
    const feeds = inputsOf("gemm-chain");
    const before = await run(model, feeds);
    const { changes } = await factorize(model, { layers: "fc1", energy: 1 });
    expect(changes[0]?.what).toContain("rank 3");
    (await run(model, feeds)).forEach((value, index) => {
      expect(value).toBeCloseTo(before[index] ?? Number.NaN, 4);
    });
  });

  it.each(topologies.map(({ name }) => name))("leaves a legal, runnable model: %s", async (name) => {
    const model = parseModel(topology(name).text);
    await factorize(model, { ratio: 0.6 });
    expect(verify(model)).toEqual([]);
    if (topology(name).integers === undefined)
      expect((await run(model, inputsOf(name))).every(Number.isFinite)).toBe(true);
  });

  it("at nearly full rank computes nearly the same, whatever side the weight is stored on", async () => {
    for (const name of ["matmul-chain", "transposed-weights"]) {
      const model = parseModel(topology(name).text);
      const feeds = inputsOf(name);
      const before = await run(model, feeds);
      const { changes } = await factorize(model, { ratio: 0.99 });
      expect(changes.length, name).toBeGreaterThan(0);
      const after = await run(model, feeds);
      const change = Math.hypot(...after.map((value, index) => value - (before[index] ?? 0))) / Math.hypot(...before);
      expect(change, name).toBeLessThan(0.9);
      expect(change, name).toBeGreaterThan(0);
    }
  });

  it("computes all singular values only where a choice depends on them", async () => {
    const spectrum = vi.spyOn(decompositions.svd, "spectrum");
    await factorize(mlp(), { rank: 8 });
    await factorize(mlp(), { ratio: 0.5 });
    expect(spectrum).toHaveBeenCalledTimes(0);
    const { changes } = await factorize(mlp(), { budget: 0.5 });
    // Once for each of both layers.
    expect(spectrum).toHaveBeenCalledTimes(2);
    expect(changes.length).toBeGreaterThan(0);
    spectrum.mockRestore();
  });

  it("names the layer that it works on, and stops within it", async () => {
    const stop = new AbortController();
    const named: (string | undefined)[] = [];
    const progress = (_: number, __?: number, figures?: string): void => {
      named.push(figures);
      stop.abort();
    };
    const stopped = factorize(mlp(), { layers: "fc1", energy: 0.9 }, { progress, signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    expect(named).toEqual(["fc1"]);
  });

  it("refuses a rank that does not make the layer smaller, and says which would", async () => {
    const model = mlp();
    const { changes, misses } = await factorize(model, { rank: 111 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      "fc1: rank 111 does not make it smaller; up to 110 would",
      "fc2: rank 111 does not make it smaller; up to 9 would",
    ]);
  });

  it("refuses a ratio too small for rank 1, which would make the layer zero", async () => {
    const model = mlp();
    const before = structureHash(model);
    // fc1: 0.005 · 784 · 128 / 912 = 0.55; fc2: less.
    const { changes, misses } = await factorize(model, { ratio: 0.005 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      "fc1: no rank fits the ratio",
      "fc2: no rank fits the ratio",
    ]);
    expect(structureHash(model)).toBe(before);
    // fc1: 1.1; fc2: 0.09.
    const some = await factorize(model, { ratio: 0.01 });
    expect(some.changes.map(({ at, what }) => [at, what.includes("rank 1,")])).toEqual([["fc1", true]]);
    expect(some.misses.map(({ at }) => at)).toEqual(["fc2"]);
  });

  it("changes nothing where every layer is refused, not even what could be folded", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 4]) {
  stored: float32[4, 4] = random(seed 1)
  unused: float32[3] = zeros
  w = Transpose(stored)
  y = MatMul "fc" (x, w)
}`);
    const before = structureHash(model);
    const { changes, misses } = await factorize(model, { rank: 4 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at }) => at)).toEqual(["fc"]);
    expect(structureHash(model)).toBe(before);
  });

  it("takes a masked weight as its product with the mask, and the mask goes", async () => {
    const masked = `opset 17
graph (x: float32[2, 8]) -> (y: float32[2, 8]) {
  fc.weight_orig: float32[8, 8] parameter = random(seed 1)
  fc.weight_mask: float32[8, 8] mask = [${Array.from({ length: 8 }, (_, row) => `[${row < 2 ? "1, 1, 1, 1, 1, 1, 1, 1" : "0, 0, 0, 0, 0, 0, 0, 0"}]`).join(", ")}]
  fc.weight = Mul(fc.weight_orig, fc.weight_mask)
  y = Gemm(x, fc.weight) {transB=1}
}`;
    const model = parseModel(masked);
    const feeds = {
      x: float32(
        [2, 8],
        Float32Array.from({ length: 16 }, (_, index) => Math.sin(index)),
      ),
    };
    const before = await run(model, feeds);
    const { changes, misses } = await factorize(model, { energy: 1 });
    expect(misses).toEqual([]);
    expect(changes.map(({ at, what }) => [at, what.includes("rank 2")])).toEqual([["fc", true]]);
    expect(verify(model)).toEqual([]);
    expect(
      [...model.graph.values()]
        .filter(({ tensor }) => tensor !== undefined)
        .map(({ name, role }) => [name, role?.kind]),
    ).toEqual([
      ["fc.down.weight", "parameter"],
      ["fc.up.weight", "parameter"],
    ]);
    (await run(model, feeds)).forEach((value, index) => {
      expect(value).toBeCloseTo(before[index] ?? Number.NaN, 4);
    });
  });

  it("splits a weight that two layers read from different sides once for both", async () => {
    const model = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  w: float32[6, 6] = random(seed 1)
  h = Gemm "a" (x, w) {transB=1}
  y = Gemm "b" (h, w)
}`);
    const feeds = {
      x: float32(
        [2, 6],
        Float32Array.from({ length: 12 }, (_, index) => Math.cos(index)),
      ),
    };
    const once = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  w: float32[6, 6] = random(seed 1)
  v: float32[6, 6] = random(seed 1)
  h = Gemm "a" (x, w) {transB=1}
  y = Gemm "b" (h, v)
}`);
    await factorize(model, { rank: 2 });
    await factorize(once, { rank: 2 });
    // Two factors for both layers, and not two for each.
    expect(storedIn(model)).toEqual(["a.down.weight", "a.up.weight"]);
    const expected = await run(once, feeds);
    (await run(model, feeds)).forEach((value, index) => {
      expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 3);
    });
  });

  it.each([
    ["matrix", "x: float32[2, 24]", "h = MatMul(x, w)\n  r = Relu(h)\n  wt = Transpose(w)\n  y = MatMul(r, wt)"],
    [
      "matrix, transposed first",
      "x: float32[2, 30]",
      "wt = Transpose(w)\n  h = MatMul(x, wt)\n  r = Relu(h)\n  y = MatMul(r, w)",
    ],
    ["table", "x: int64[2, 5]", "h = Gather(w, x)\n  wt = Transpose(w) {perm=[1, 0]}\n  y = MatMul(h, wt)"],
    [
      "matrix, transposed twice",
      "x: float32[2, 24]",
      "wt = Transpose(w)\n  w2 = Transpose(wt)\n  h = MatMul(x, w2)\n  y = MatMul(h, wt)",
    ],
    [
      "matrix, laid out by a Constant node",
      "x: float32[2, 24]",
      "s = Constant() {value_ints=[24, 30]}\n  r = Reshape(w, s)\n  t = Transpose(r)\n  h = MatMul(x, r)\n  y = MatMul(h, t)",
    ],
    [
      "matrix, transposed for each reader",
      "x: float32[2, 30]",
      "a = Transpose(w)\n  b = Transpose(w)\n  p = MatMul(x, a)\n  q = MatMul(x, b)\n  y = Add(p, q)",
    ],
  ])("gives factors to all readers of a %s, also behind a transposition", async (_, input, lines) => {
    const model = parseModel(`opset 17\ngraph (${input}) -> (y) {\n  w: float32[24, 30] = zeros\n  ${lines}\n}`);
    const [weight] = layers(model, infer(model));
    if (weight === undefined) throw new Error("There is no layer.");
    weight.weight.tensor = inMemory(
      float32(
        [24, 30],
        Float32Array.from({ length: 24 * 30 }, (_, at) => Math.sin(Math.floor(at / 30) + (at % 30)) + 0.1),
      ),
    );
    const size = (/\[(.*)\]/.exec(input)?.[1] ?? "").split(", ").map(Number);
    const numbers = Array.from({ length: elementCount(size) }, (_, at) => (7 * at) % 24);
    const x = input.includes("int64") ? int64(size, numbers) : float32(size, Float32Array.from(numbers));
    const before = await run(model, { x });
    const { changes, misses } = await factorize(model, { energy: 0.999999 });
    expect(misses).toEqual([]);
    expect(changes).toHaveLength(2);
    expect(verify(model)).toEqual([]);
    // sin(a + b) = sin a cos b + cos a sin b is of rank 2, and the constant adds one.
    expect(storedCount(model)).toBe(3 * (24 + 30));
    (await run(model, { x })).forEach((value, at) => {
      expect(Math.abs(value - (before[at] ?? Number.NaN))).toBeLessThan(1e-4 * Math.max(...before.map(Math.abs)));
    });
  });

  it.each([
    ['w2 = Neg(w)\n  h = MatMul "a" (x, w)\n  y = MatMul "b" (h, w2)', 'MatMul "b"'],
    ['h = Gemm "a" (x, w, w)\n  y = Relu(h)', 'Gemm "a"'],
    ['y = MatMul "a" (x, w)\n  z = Neg(w)', 'output "z"'],
    [
      'h = MatMul "a" (x, w)\n  k = If "b" (c) {then_branch=graph () -> (s) { s = Neg(w) }, else_branch=graph () -> (t) { t = Identity(w) }}\n  y = Add(h, k)',
      'If "b"',
    ],
  ])("leaves a weight that something else needs as it is: %s", async (lines, other) => {
    const outputs = lines.includes("z =") ? "y, z" : "y";
    const model = parseModel(`opset 17
graph (x: float32[12, 12], c: bool[]) -> (${outputs}) {
  w: float32[12, 12] = random(seed 1)
  ${lines}
}`);
    const { changes, misses } = await factorize(model, { layers: "a", rank: 2 });
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      `${other} also reads its weight, so the file would need both the weight and the factors`,
    ]);
  });

  it("leaves a shared weight as it is for all of its readers, or for none", async () => {
    const model = parseModel(`opset 17
graph (x: float32[2, 12]) -> (y) {
  w: float32[12, 12] = random(seed 1)
  h = MatMul "a" (x, w)
  y = Gemm "b" (h, w) {transB=1}
}`);
    const { changes, misses } = await factorize(model, { rank: 2, overrides: { MatMul: { rank: 9 } } });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      "a: rank 9 does not make it smaller; up to 5 would",
      'b: layer "a", which reads the same weight, stays: rank 9 does not make it smaller; up to 5 would',
    ]);
  });

  it("leaves both halves of a tied pair", async () => {
    const model = parseModel(`opset 21
graph (x: float32[1, 6]) -> (y) {
  a.weight: float32[6, 6] parameter = random(seed 1)
  b.weight: float32[6, 6] tied(a.weight) = random(seed 1)
  h = MatMul (x, a.weight)
  y = MatMul (h, b.weight)
}`);
    const { changes, misses } = await factorize(model, { rank: 2 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
      ["a", 'its weight is tied to "b.weight"'],
      ["b", 'its weight is tied to "a.weight"'],
    ]);
  });

  it("leaves nothing of a matrix that the file lists among the inputs of the graph", async () => {
    const model = parseModel(topology("gemm-chain").text);
    const plain = parseModel(topology("gemm-chain").text);
    const weight = model.graph.value("fc1.weight");
    if (weight === undefined) throw new Error("the topology has no fc1");
    model.graph.setInputs([...model.graph.inputs, weight]);
    await factorize(model, { layers: "fc1", rank: 2 });
    await factorize(plain, { layers: "fc1", rank: 2 });
    expect(storedIn(model)).toEqual(storedIn(plain));
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  it("says that no rank which saves holds an energy", async () => {
    const model = network({ fc: linear(300, 300) }, { input: ["batch", 300], seed: 1 });
    const { changes, misses } = await factorize(model, { energy: 0.99 });
    expect(changes).toEqual([]);
    expect(misses[0]?.reason).toMatch(/^rank \d+ does not make it smaller; up to 149 would$/);
  });

  it("refuses a rounded weight", async () => {
    const model = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  fc.weight: float32[6, 6] = random(seed 1)
  k: float32[] = 0.5
  d = Div(fc.weight, k)
  w: float32[6, 6] straight-through = Round(d)
  y = MatMul(x, w)
}`);
    const { changes, misses } = await factorize(model, { rank: 2 });
    expect(changes).toEqual([]);
    expect(misses[0]?.reason).toContain("its weight has fake quantization");
  });

  it.each([{ scheme: "weights" }, { scheme: "weights", bits: 4 }, { scheme: "dynamic" }] as const)(
    "refuses codes, whose order with it is the other one: %o",
    async (options) => {
      const model = network({ fc: linear(64, 64) }, { input: ["batch", 64], seed: 1 });
      await quantize(model, options);
      const { changes, misses } = await factorize(model, { rank: 2 });
      expect(changes).toEqual([]);
      expect(misses[0]?.reason).toMatch(/^its weight is quantized already.*: `quantize` must be a later step$/);
    },
  );

  it("gives its session back", async () => {
    let open = 0;
    const counted = {
      load: async (...given: Parameters<typeof engine.load>) => {
        const session = await engine.load(...given);
        open++;
        return { run: session.run.bind(session), release: () => session.release().then(() => void open--) };
      },
    };
    await factorize(mlp(), { layers: "fc1", rank: 8 }, { engine: counted });
    expect(open).toBe(0);
  });

  it("leaves a kernel that another convolution reads in other groups", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 4, 5, 5], z: float32[1, 8, 5, 5]) -> (y, v) {
  w: float32[4, 4, 1, 1] = random(seed 1)
  y = Conv "whole" (x, w)
  v = Conv "halves" (z, w) {group=2}
}`);
    const { changes, misses } = await factorize(model, { rank: 1 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
      ["whole", expect.stringMatching(/^Conv "halves" also reads its weight/)],
      ["halves", expect.stringMatching(/^Conv "whole" also reads its weight/)],
    ]);
  });

  it("leaves depthwise and transposed convolutions, with a reason", async () => {
    const depthwise = parseModel(`opset 17
graph (x: float32[1, 4, 6, 6]) -> (y: float32[1, 4, 6, 6]) {
  w: float32[4, 1, 3, 3] = random(seed 1)
  y = Conv "depthwise" (x, w) {group=4, pads=[1, 1, 1, 1]}
}`);
    expect(await factorize(depthwise, { rank: 1 })).toMatchObject({
      changes: [],
      misses: [{ at: "depthwise", reason: "it is depthwise: no channels are mixed" }],
    });
    const { misses } = await factorize(parseModel(topology("conv-transpose").text), { rank: 1 });
    expect(misses.map(({ reason }) => reason)).toContain("its operator cannot be written as several in a row");
  });

  it.each([
    [{ rank: 3, energy: 0.5 }],
    [{ rank: "noise" }],
    [{ budget: 0 }],
    [{ ratio: 0.5, budget: 0.5 }],
    [{ rank: 3, overrides: { fc1: { rank: 2, ratio: 0.5 } } }],
    [{ rank: 3, method: "cp" }],
    [{ ratio: 0.5, multiple: 0 }],
    [{ energy: 0 }],
    [{ energy: 1.1 }],
    [{ rank: 0 }],
    [{ rank: 2.5 }],
    [{ rang: 3 }],
  ])("refuses the options %j", async (options) => {
    await expect(factorize(mlp(), options as object)).rejects.toMatchObject({ code: "E_OPTION" });
  });

  it.each([
    ["nan", "NaN"],
    ["inf", "infinity"],
  ])("leaves a layer that holds %s, and takes no other along", async (value, name) => {
    const model = parseModel(`opset 17
graph (x: float32[n, 8]) -> (y) {
  fc1.weight: float32[8, 8] = random(seed 1)
  fc2.weight: float32[8, 8] = [${[value, ...Array.from({ length: 63 }, () => 1)].join(", ")}]
  h = MatMul(x, fc1.weight)
  y = MatMul(h, fc2.weight)
}`);
    const { changes, misses } = await factorize(model, { rank: 2 });
    expect(changes.map(({ at }) => at)).toEqual(["fc1"]);
    expect(misses).toMatchObject([{ at: "fc2", reason: `its weight holds ${name}` }]);
  });

  it("refuses a layer that does not exist, naming those that do", async () => {
    await expect(factorize(mlp(), { layers: "fc3", rank: 3 })).rejects.toMatchObject({
      code: "E_NAME",
      hint: expect.stringContaining("fc1, fc2"),
    });
  });

  it("takes an embedding table for a thin one and a product, and a head that reads the table shares both", async () => {
    const model = parseModel(`opset 17
graph (ids: int64[2, 3]) -> (y: float32[6, 20]) {
  table: float32[20, 8] = random(seed 1)
  shape: int64[2] = [6, 8]
  e = Gather "embedding" (table, ids)
  h = Reshape(e, shape)
  y = Gemm "head" (h, table) {transB=1}
}`);
    const { changes, misses } = await factorize(model, { rank: 3 });
    expect([changes.map(({ at }) => at), misses]).toEqual([["embedding", "head"], []]);
    expect(storedIn(model)).toEqual(["embedding.down.weight", "embedding.up.weight", "shape"]);
    expect([dims(model, "embedding.down.weight"), dims(model, "embedding.up.weight")]).toEqual([
      [20, 3],
      [3, 8],
    ]);
    expect(verify(model)).toEqual([]);
    const ids = { type: "int64", dims: [2, 3], data: BigInt64Array.of(0n, 3n, 19n, 7n, 7n, 2n) } as const;
    const truncated = multiply(
      await matrixAt(model, "embedding.down.weight"),
      await matrixAt(model, "embedding.up.weight"),
    );
    const row = (at: number): readonly number[] => [...truncated.data.subarray(at * 8, at * 8 + 8)];
    const expected = [0, 3, 19, 7, 7, 2].flatMap((id) =>
      Array.from({ length: 20 }, (_, other) =>
        row(id).reduce((sum, value, at) => sum + value * (row(other)[at] ?? 0), 0),
      ),
    );
    for (const [at, value] of (await run(model, { ids })).entries())
      expect(value).toBeCloseTo(expected[at] ?? Number.NaN, 3);
  });

  /** An engine that takes so many milliseconds for each node beyond the first, or for a layer that is alone. */
  const slowed = (chain: number, layer: number) => ({
    load: async (...[model, options]: Parameters<typeof engine.load>) => {
      const session = await engine.load(model, options);
      const milliseconds = [...model.graph.nodes()].length > 1 ? chain : layer;
      return {
        ...session,
        release: () => session.release(),
        run: async (...given: Parameters<typeof session.run>) => {
          await new Promise((resolve) => setTimeout(resolve, milliseconds));
          return session.run(...given);
        },
      };
    },
  });
  const lowRank = (): Model => {
    const model = parseModel(`opset 17
graph (x: float32[batch, 32]) -> (y: float32[batch, 32]) {
  fc.weight: float32[32, 32] = random(seed 1)
  y = MatMul(x, fc.weight)
}`);
    const weight = model.graph.value("fc.weight");
    if (weight !== undefined)
      weight.tensor = inMemory(
        float32(
          [32, 32],
          Float32Array.from({ length: 1024 }, (_, at) => Math.sin(Math.floor(at / 32)) * (at % 32)),
        ),
      );
    return model;
  };

  it("without a rank takes what holds 95 % of the energy where it is smaller and no slower", async () => {
    const taken = await factorizeTimed(lowRank(), {}, { engine: slowed(0, 20) });
    expect(taken.changes).toMatchObject([{ at: "fc", what: expect.stringMatching(/rank 1, .* × as fast$/) }]);
    const left = await factorizeTimed(lowRank(), {}, { engine: slowed(20, 0) });
    expect(left).toMatchObject({
      changes: [],
      misses: [{ at: "fc", reason: "rank 1 holds 95 % of its energy, and is slower than the layer" }],
    });
    const large = await factorizeTimed(mlp(), {}, { engine: slowed(0, 20) });
    expect(large.misses.map(({ reason }) => reason)).toEqual([
      "rank 114 does not make it smaller; up to 110 would",
      "rank 10 does not make it smaller; up to 9 would",
    ]);
  });

  it("does what a user says though it is slower, and says by how much", async () => {
    const { changes } = await factorizeTimed(lowRank(), { rank: 1 }, { engine: slowed(20, 0) });
    expect(changes).toMatchObject([{ what: expect.stringMatching(/rank 1, relative error 0.000, 0.\d\d × as fast$/) }]);
  });

  it("says where 4 bits would lose less in fewer bytes, and nowhere else", async () => {
    const { changes } = await factorize(mlp(), { layers: "fc1", rank: 80 });
    expect(changes[0]?.what).toMatch(/relative error 0\.\d+ \(4 bits take fewer bytes, and lose 0\.\d+\)$/);
    // Rank 10 takes 9 % of the bytes.
    const few = await factorize(mlp(), { layers: "fc1", rank: 10 });
    expect(few.changes[0]?.what).not.toContain("4 bits");
    const exact = await factorize(lowRank(), { rank: 10 });
    expect(exact.changes[0]?.what).not.toContain("4 bits");
  });

  const convolutions = () =>
    parseModel(`opset 17
graph (x: float32[batch, 8, 12, 12]) -> (y: float32[batch, 4]) {
  a.weight: float32[16, 8, 3, 3] = random(seed 1)
  b.weight: float32[16, 16, 3, 3] = random(seed 2)
  c.weight: float32[24, 16, 1, 1] = random(seed 3)
  d.weight: float32[4, 24] = random(seed 4)
  h = Conv "a" (x, a.weight) {pads=[1, 1, 1, 1], strides=[2, 2]}
  i = Conv "b" (h, b.weight) {pads=[1, 1, 1, 1]}
  j = Conv "c" (i, c.weight)
  k = GlobalAveragePool(j)
  l = Flatten(k)
  y = Gemm "d" (l, d.weight) {transB=1}
}`);
  const weightsOf = (model: Model): number =>
    [...model.graph.values()].reduce((sum, { tensor }) => sum + elementCount(tensor?.dims ?? [0]), 0);

  it("takes the method that loses least at a share of the weights, or of the multiply-accumulates", async () => {
    const errorsBy = async (options: FactorizeOptions): Promise<ReadonlyMap<string, number>> => {
      const { changes } = await factorize(convolutions(), { layers: ["a", "b", "c"], ...options });
      return new Map(changes.map(({ at, what }) => [at, Number(/relative error ([\d.]+)/.exec(what)?.[1])]));
    };
    for (const cost of ["weights", "macs"] as const) {
      const best = await errorsBy({ ratio: 0.5, cost });
      expect(best.size).toBe(3);
      for (const method of ["svd", "input-channels", "spatial", "tucker2"] as const) {
        const others = await errorsBy({ ratio: 0.5, cost, method });
        for (const [at, error] of others.entries())
          expect(best.get(at), `${method} of ${cost}`).toBeLessThanOrEqual(error + 1e-9);
      }
    }
  });

  it.each(["weights", "macs"] as const)("keeps the model within a budget of its %s, and near to it", async (cost) => {
    const model = convolutions();
    const before = cost === "weights" ? weightsOf(model) : Number(macsOf(model));
    const { changes } = await factorize(model, { budget: 0.6, cost });
    const after = cost === "weights" ? weightsOf(model) : Number(macsOf(model));
    expect(changes.length).toBeGreaterThan(0);
    expect(verify(model)).toEqual([]);
    expect(after / before).toBeLessThanOrEqual(0.6);
    expect(after / before).toBeGreaterThan(0.55);
  });

  it("spreads a budget so that the least is lost: an even share loses more", async () => {
    const model = network({ fc1: linear(64, 64), fc2: linear(64, 64) }, { input: ["batch", 64], seed: 1 });
    const weight = model.graph.value("fc2.weight");
    if (weight === undefined) throw new Error("no fc2");
    // Its singular values fall off quickly.
    weight.tensor = inMemory(
      float32(
        [64, 64],
        Float32Array.from({ length: 4096 }, (_, at) => Math.exp(-Math.abs(Math.floor(at / 64) - (at % 64)) / 20)),
      ),
    );
    const lost = async (options: FactorizeOptions): Promise<number> => {
      const { changes } = await factorize(model.clone(), options);
      return changes.reduce((sum, { what }) => sum + Number(/relative error ([\d.]+)/.exec(what)?.[1]) ** 2, 0);
    };
    expect(await lost({ budget: 0.5 })).toBeLessThan(0.7 * (await lost({ ratio: 0.49 })));
  });

  it("spares the layers that the outputs depend on, where a budget is spread by sensitivity", async () => {
    // What goes through b hardly reaches the output.
    const model = parseModel(`opset 17
graph (x: float32[batch, 16]) -> (y: float32[batch, 16]) {
  a.weight: float32[16, 16] = random(seed 1)
  b.weight: float32[16, 16] = random(seed 2)
  little: float32[] = 0.001
  h = MatMul "a" (x, a.weight)
  i = MatMul "b" (x, b.weight)
  j = Mul(i, little)
  y = Add(h, j)
}`);
    const { changes } = await factorize(model.clone(), { budget: 0.7, allocation: "sensitivity" });
    expect(changes.map(({ at }) => at)).toEqual(["b"]);
    expect((await factorize(model, { budget: 0.7 })).changes.map(({ at }) => at)).toEqual(["a", "b"]);
  });

  it("refuses a budget that rank 1 everywhere does not keep, changes nothing, and says which budget could be kept", async () => {
    const model = convolutions();
    const before = structureHash(model);
    const { changes, misses } = await factorize(model, { budget: 0.01 });
    expect(changes).toEqual([]);
    expect(misses.at(-1)).toMatchObject({
      at: "budget",
      reason:
        "the lowest ranks leave 142 of 3,936 weights, and 39 are allowed: the least `budget` that can be kept is 0.037",
    });
    expect(structureHash(model)).toBe(before);
    expect((await factorize(model.clone(), { budget: 0.036 })).changes).toEqual([]);
    await factorize(model, { budget: 0.037 });
    expect(weightsOf(model)).toBe(142);
  });

  it("lists the layer that loses most first", async () => {
    const { changes } = await factorize(mlp(), { overrides: { fc1: { ratio: 0.9 }, fc2: { rank: 1 } } });
    expect(changes.map(({ at }) => at)).toEqual(["fc2", "fc1"]);
  });

  it("stores the factors of a float16 weight in float16", async () => {
    const model = parseModel(`opset 17
graph (x: float16[3, 32]) -> (y) {
  w: float16[24, 32] parameter = random(seed 1)
  b: float16[24] = random(seed 2)
  y = Gemm "fc" (x, w, b) {transB=1}
}`);
    const x = fromNumbers(
      "float16",
      [3, 32],
      Array.from({ length: 96 }, (_, at) => Math.sin(at)),
    );
    const numbers = async (of: Model) => {
      const session = await engine.load(of);
      const { y } = await session.run({ x });
      await session.release();
      return y === undefined ? [] : [...toFloat64(y)];
    };
    const before = await numbers(model);
    const { changes } = await factorize(model, { layers: "fc", rank: 13 });
    expect(changes[0]?.what).toContain("rank 13, relative error");
    expect(["fc.down.weight", "fc.up.weight"].map((name) => model.graph.value(name)?.tensor?.type)).toEqual([
      "float16",
      "float16",
    ]);
    expect(verify(model)).toEqual([]);
    const error = Number(/relative error ([\d.]+)/.exec(changes[0]?.what ?? "")?.[1]);
    const after = await numbers(model);
    const apart = Math.hypot(...after.map((value, at) => value - (before[at] ?? 0))) / Math.hypot(...before);
    expect(apart).toBeGreaterThan(0);
    expect(apart).toBeLessThan(1.5 * error);
  });

  it("leaves what excluded layers hold in the budget's reckoning, and rules of layers' own beside it", async () => {
    const model = convolutions();
    const before = weightsOf(model);
    await factorize(model, { budget: 0.7, except: "c" });
    expect(dims(model, "c.weight")).toEqual([24, 16, 1, 1]);
    expect(weightsOf(model) / before).toBeLessThanOrEqual(0.7);
    const own = convolutions();
    await factorize(own, { budget: 0.9, overrides: { c: { rank: 2 } } });
    expect(dims(own, "c.down.weight")).toEqual([2, 16, 1, 1]);
  });

  it("looks for ranks among multiples", async () => {
    const model = convolutions();
    const { changes } = await factorize(model, { ratio: 0.6, multiple: 4, layers: ["a", "b", "c"] });
    const ranks = changes.flatMap(({ what }) => /rank ([\d× ]+),/.exec(what)?.[1]?.split(" × ").map(Number) ?? []);
    expect(ranks.length).toBeGreaterThan(2);
    for (const rank of ranks) expect(rank % 4).toBe(0);
  });

  it("finds the rank above noise", async () => {
    const model = network({ fc: linear(60, 40) }, { input: ["batch", 60], seed: 1 });
    const weight = model.graph.value("fc.weight");
    if (weight === undefined) throw new Error("no fc");
    const numbers = random(7, "noise");
    const [u, w] = [random(5), random(6)].map((one) => Float64Array.from({ length: 300 }, () => one.normal()));
    const noisy = Float32Array.from({ length: 2400 }, (_, at) => {
      const signal = [0, 1, 2, 3, 4].reduce(
        (sum, k) => sum + (u?.[Math.floor(at / 60) * 5 + k] ?? 0) * (w?.[k * 60 + (at % 60)] ?? 0),
        0,
      );
      return signal + 0.1 * numbers.normal();
    });
    weight.tensor = inMemory(float32([40, 60], noisy));
    const { changes } = await factorize(model, { rank: "evbmf" });
    expect(changes[0]?.what).toContain("rank 5,");
  });
});
