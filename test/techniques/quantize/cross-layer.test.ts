/** Tests cross-layer equalization: it balances the ranges of adjacent layers without changing outputs. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { scaleGroups } from "../../../src/core/analysis/scale-groups.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { migrate } from "../../../src/rewrite/edit/move-factors.ts";
import { equalizingFactors } from "../../../src/techniques/quantize/equalize/cross-layer.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { value } from "../../find.ts";
import expected from "../../golden/equalization.generated.json" with { type: "json" };
import { difference, numbersFor, run } from "./networks.ts";

const context = completeContext({});

/** Three layers in a row: 1×1 convolutions, the second one depthwise or not. */
function rowOf(name: "chain" | "depthwise"): Model {
  const groups = name === "chain" ? "" : " {group=6}";
  const wide = name === "chain" ? [[5, 6] as const, [3, 5] as const] : [[6, 1] as const, [3, 6] as const];
  const model = parseModel(`opset 21
graph (x: float32[n, 4, 3, 3]) -> (y) {
  a.weight: float32[6, 4, 1, 1] = random(seed 1)
  b.weight: float32[${wide[0]?.join(", ")}, 1, 1] = random(seed 2)
  c.weight: float32[${wide[1]?.join(", ")}, 1, 1] = random(seed 3)
  p = Conv (x, a.weight)
  q = Relu (p)
  r = Conv (q, b.weight)${groups}
  s = Relu (r)
  y = Conv (s, c.weight)
}`);
  for (const [at, numbers] of expected[name].weights.entries()) {
    const weight = value(model, `${"abc"[at]}.weight`);
    weight.tensor = inMemory(float32(weight.tensor?.dims ?? [], numbers));
  }
  return model;
}

describe.each(["chain", "depthwise"] as const)("three consecutive layers, %s", (name) => {
  test("have the factors of NumPy, and equal ranges afterwards", async () => {
    const model = rowOf(name);
    const inference = infer(model);
    const groups = scaleGroups(model, inference).filter(({ refused, units }) => refused.size < units);
    const weights = new Set(layers(model, inference).map(({ effective }) => effective));
    const factors = await equalizingFactors(groups, weights, context);
    expect(factors.map((own) => own.length)).toEqual(expected[name].factors.map((own) => own.length));
    for (const [group, groupFactors] of factors.entries())
      groupFactors.forEach((factor, unit) => {
        expect(factor).toBeCloseTo(expected[name].factors[group]?.[unit] ?? 0, 5);
      });
    for (const [at, group] of groups.entries()) await migrate(model, group, factors[at] ?? new Float64Array());
    const reach = async (layer: string, axis: 0 | 1) => {
      const dense = await value(model, `${layer}.weight`).tensor?.read();
      const [rows = 0, columns = 0] = dense?.dims ?? [];
      const maxima = new Float64Array(axis === 0 ? rows : columns);
      for (const [place, number] of (dense === undefined ? [] : toNumbers(dense)).entries()) {
        const channel = axis === 0 ? Math.floor(place / columns) : place % columns;
        maxima[channel] = Math.max(maxima[channel] ?? 0, Math.abs(number));
      }
      return maxima;
    };
    const [last, second] = [await reach("b", 0), await reach("c", 1)];
    last.forEach((own, channel) => {
      expect((second[channel] ?? 0) / own).toBeCloseTo(1, 1);
    });
  });
});

const clipped = (more = "", result = "y") => `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (${result}) {
  a.weight: float32[8, 3, 3, 3] = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  d.weight: float32[8, 1, 3, 3] = random(seed 3)
  d.bias: float32[8] = random(seed 4)
  b.weight: float32[4, 8, 1, 1] = random(seed 5)
  low: float32[] = 0
  high: float32[] = 0.5
  h = Conv "a" (x, a.weight, a.bias) {pads=[1, 1, 1, 1]}
  c = Clip (h, low, high)
  d = Conv "d" (c, d.weight, d.bias) {pads=[1, 1, 1, 1], group=8}
  e = Clip (d, low, high)
  y = Conv "b" (e, b.weight)${more}
}`;

/** A network with one channel of the depthwise layer that has a 200 times larger range than the others. */
async function uneven(text: string): Promise<Model> {
  const model = parseModel(text);
  for (const [name, factor] of [
    ["d.weight", 200],
    ["a.weight", 1 / 200],
    ["a.bias", 1 / 200],
  ] as const) {
    const parameter = value(model, name);
    const dense = await parameter.tensor?.read();
    if (dense?.type !== "float32") throw new Error("no floats");
    const width = dense.data.length / (dense.dims[0] ?? 1);
    const data = dense.data.map((number, at) => (Math.floor(at / width) === 2 ? number * factor : number));
    parameter.tensor = inMemory(float32(dense.dims, data));
  }
  return model;
}

async function rounded(model: Model, options: Partial<QuantizeOptions>) {
  const x = numbersFor([64, 3, 8, 8], 5);
  const before = await run(model, { x });
  const result = model.clone();
  const settings = { scheme: "weights", perChannel: false, data: memory("x", { x }), biasCorrection: "none" } as const;
  const { changes } = await quantize(result, { ...settings, ...options });
  expect(verify(result)).toEqual([]);
  return {
    error: difference(before, await run(result, { x })),
    scaled: changes.filter(({ kind }) => kind === "scaled"),
    result,
  };
}

describe("a channel with a 200 times larger range under a per-tensor scale, after clamps", () => {
  test.each(["weights", "static", "dynamic"] as const)(
    "has a tenth of the error with equalization: %s",
    async (scheme) => {
      const model = await uneven(clipped());
      const unequalized = await rounded(model, { scheme, equalize: false });
      const equalized = await rounded(model, { scheme });
      expect(equalized.scaled.map(({ at }) => at)).toEqual(["a", "d", "b"]);
      expect(equalized.error).toBeLessThan(unequalized.error / 10);
    },
  );

  test("is equalized without data", async () => {
    const { error, scaled } = await rounded(await uneven(clipped()), { data: undefined });
    expect(scaled).toHaveLength(3);
    expect(error).toBeLessThan((await rounded(await uneven(clipped()), { equalize: false })).error / 10);
  });

  test("is not equalized if other nodes read the clamped values", async () => {
    const text = clipped("\n  z = Sigmoid (c)\n  w = Sigmoid (e)", "y, z, w");
    const { result, scaled } = await rounded(await uneven(text), {});
    expect(scaled).toEqual([]);
    expect([...result.graph.nodes()].filter(({ op }) => op === "Clip")).toHaveLength(2);
  });

  test("is not equalized with per-channel scales", async () => {
    expect((await rounded(await uneven(clipped()), { perChannel: true })).scaled).toEqual([]);
  });
});

test("weights on the grid are not equalized", async () => {
  const model = rowOf("chain");
  for (const name of ["a.weight", "b.weight", "c.weight"]) {
    const weight = value(model, name);
    const count = (weight.tensor?.dims ?? []).reduce((product, dim) => product * dim, 1);
    const codes = Array.from({ length: count }, (_, at) => ((at * 37) % 255) - 127);
    weight.tensor = inMemory(float32(weight.tensor?.dims ?? [], codes));
  }
  const x = numbersFor([8, 4, 3, 3], 5);
  const before = await run(model, { x });
  const { changes } = await quantize(model, { scheme: "weights", perChannel: false });
  expect(changes.filter(({ kind }) => kind === "scaled")).toEqual([]);
  expect(difference(before, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
});

test("equalization changes only the clamp that a factor passes", async () => {
  const text = clipped("\n  w = Sigmoid (e)", "y, w");
  const { result, scaled } = await rounded(await uneven(text), {});
  expect(scaled.map(({ at }) => at)).toEqual(["a", "d"]);
  const operators = [...result.graph.nodes()].map(({ op }) => op);
  expect(operators.filter((op) => op === "Clip" || op === "Min")).toEqual(["Min", "Clip"]);
});
