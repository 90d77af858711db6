/** Layers that read one value, factorized together. */
import { expect, test } from "vitest";
import { createEngine } from "../engine/index.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { addOperators, defineOp } from "../ops/index.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { factorize } from "./factorize.ts";

/** Queries, keys and values of 12 numbers, of which queries and keys have a bias behind them; and a layer of another kind. */
const text = `opset 17
graph (x: float32[batch, 5, 12]) -> (q: float32[batch, 5, 12], k: float32[batch, 5, 12], v: float32[batch, 5, 8], o) {
  a.self.query.weight: float32[12, 12] parameter = zeros
  a.self.key.weight: float32[12, 12] parameter = zeros
  a.self.value.weight: float32[12, 8] parameter = zeros
  a.out.weight: float32[8, 6] parameter = zeros
  shift: float32[12] = ones
  q.product = MatMul (x, a.self.query.weight)
  q = Add (q.product, shift)
  k.product = MatMul (x, a.self.key.weight)
  k = Add (shift, k.product)
  v = MatMul (x, a.self.value.weight)
  o = MatMul (v, a.out.weight)
}`;

function attention(): Model {
  const model = parseModel(text);
  for (const value of model.graph.values()) {
    if (value.tensor === undefined || !value.name.endsWith(".weight")) continue;
    const draws = random(1, value.name);
    const { dims } = value.tensor;
    const numbers = Float32Array.from({ length: dims.reduce((all, size) => all * size, 1) }, () => draws.normal());
    value.tensor = inMemory(float32([...dims], numbers));
  }
  return model;
}

async function answers(model: Model): Promise<Record<string, readonly number[]>> {
  const draws = random(2);
  const session = await createEngine().load(model);
  const found = await session.run({
    x: float32(
      [3, 5, 12],
      Float32Array.from({ length: 180 }, () => draws.normal()),
    ),
  });
  await session.release();
  return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, Array.from(data, Number)]));
}

function apart(a: Record<string, readonly number[]>, b: Record<string, readonly number[]>): number {
  const all = Object.entries(a).flatMap(([name, values]) =>
    values.map((one, at) => Math.abs(one - (b[name]?.[at] ?? Number.NaN))),
  );
  return Math.max(...all);
}

const weights = (model: Model): readonly string[] =>
  [...model.graph.values()]
    .flatMap(({ name, tensor }) => (tensor !== undefined && name.endsWith("weight") ? [`${name} ${tensor.dims}`] : []))
    .sort();

test("joined layers share one first factor; outputs keep their names", async () => {
  const model = attention();
  const { changes } = await factorize(model, { rank: 8, joint: true, layers: "a.self.*", timing: false });
  expect(changes.map(({ at }) => at)).toEqual(["a.self.query-key-value"]);
  expect(weights(model)).toEqual([
    "a.out.weight 8,6",
    "a.self.query-key-value.down.weight 12,8",
    "a.self.query-key-value.up.weight 8,32",
  ]);
  const found = await answers(model);
  expect(Object.keys(found)).toEqual(["q", "k", "v", "o"]);
  expect(apart(found, await answers(attention()))).toBeGreaterThan(0.1);
});

test("a shared factor is exact for weights of one row space; separate factors of equal size are not", async () => {
  const low = (): Model => {
    const model = attention();
    const draws = random(9);
    const down = Array.from({ length: 12 * 4 }, () => draws.normal());
    for (const name of ["query", "key", "value"]) {
      const value = model.graph.value(`a.self.${name}.weight`);
      const columns = value?.tensor?.dims[1] ?? 0;
      if (value === undefined) continue;
      const up = Array.from({ length: 4 * columns }, () => draws.normal());
      const numbers = Float32Array.from({ length: 12 * columns }, (_, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        return [0, 1, 2, 3].reduce((sum, r) => sum + (down[row * 4 + r] ?? 0) * (up[r * columns + column] ?? 0), 0);
      });
      value.tensor = inMemory(float32([12, columns], numbers));
    }
    return model;
  };
  const [joint, alone] = [low(), low()];
  const settings = { rank: 4, layers: "a.self.*", timing: false } as const;
  await factorize(joint, { ...settings, joint: true });
  await factorize(alone, settings);
  const original = await answers(low());
  expect(apart(await answers(joint), original)).toBeLessThan(1e-4);
  expect(apart(await answers(alone), original)).toBeLessThan(1e-4);
  const size = (model: Model): number =>
    [...model.graph.values()].reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0);
  expect(size(joint)).toBeLessThan(size(alone));
});

test("layers that are not factorized are not joined", async () => {
  const model = attention();
  const { changes, misses } = await factorize(model, { rank: 11, joint: true, layers: "a.self.*", timing: false });
  expect(changes).toEqual([]);
  expect(misses.map(({ at }) => at)).toEqual(["a.self.query", "a.self.key", "a.self.value"]);
  expect(weights(model)).toEqual(weights(attention()));
  expect(await answers(model)).toEqual(await answers(attention()));
});

test("an override of one layer applies to the joined one, and excluded layers are not joined", async () => {
  const model = attention();
  const { changes } = await factorize(model, {
    rank: 8,
    joint: true,
    overrides: { "*value": { rank: 2 } },
    except: "a.out",
    timing: false,
  });
  expect(changes.map(({ at, what }) => `${at}: ${what.split(",")[0]}`)).toEqual([
    "a.self.query-key-value: 32 × 12 → rank 2",
  ]);
  const other = attention();
  const found = await factorize(other, { rank: 3, joint: true, except: ["a.self.key", "a.out"], timing: false });
  expect(found.changes.map(({ at }) => at)).toEqual(["a.self.query-value"]);
});

test("layers with tensors among their attributes are not joined: their contents are not compared", async () => {
  const scaled = defineOp({
    domain: "lab",
    name: "Scaled",
    infer: (_, { inputs: [x, w] }) =>
      x?.dims === undefined || w?.dims?.[1] === undefined
        ? new Miss("a dimension is not known")
        : [{ type: x.type, dims: [...x.dims.slice(0, -1), w.dims[1]] }],
    parameters: [1],
    weight: () => ({
      ...{ input: 1, out: 1, in: 0, groups: 1, data: 0, dataAxis: 1, outputAxis: 1 },
      chain: (emit, [x], parts) => parts.reduce((sum, { weight }) => emit.MatMul([sum, weight]), x as Value),
    }),
    axes: new Miss("not told"),
    gradient: new Miss("not told"),
    cost: () => 1,
    quantize: new Miss("runs in float"),
  });
  const changed = async (attributes: string): Promise<readonly string[]> => {
    const model = parseModel(`opset 17, lab 1
graph (x: float32[5, 12]) -> (q: float32[5, 12], k: float32[5, 12]) {
  query.weight: float32[12, 12] parameter = random(seed 1)
  key.weight: float32[12, 12] parameter = random(seed 2)
  q = lab.Scaled(x, query.weight) {${attributes}}
  k = lab.Scaled(x, key.weight) {${attributes}}
}`);
    addOperators(model, scaled);
    const { changes } = await factorize(model, { rank: 2, joint: true, timing: false });
    return changes.map(({ at }) => at);
  };
  expect(await changed("factor=2")).toEqual(["query-key"]);
  expect(await changed("factor=float32[2] [2, 3]")).toEqual(["query", "key"]);
});
