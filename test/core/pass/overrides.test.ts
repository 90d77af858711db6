/** Tests options of layers, which override those of the pass by name, pattern or operator type, and how changes report the decision. */
import { describe, expect, test } from "vitest";
import { optionsOfLayer } from "../../../src/core/analysis/selection.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import type { Change, Outcome } from "../../../src/core/pass/pass.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { memory } from "../../../src/data/index.ts";
import { recipeFrom } from "../../../src/judge/recipe/check-recipe.ts";
import { linear, network, relu } from "../../../src/learn/nn/index.ts";
import { factorize } from "../../../src/techniques/factorize/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";
import { noise } from "../../noise.ts";

const net = () =>
  network(
    { fc1: linear(16, 24), relu1: relu(), fc2: linear(24, 24), relu2: relu(), fc3: linear(24, 8) },
    { input: ["batch", 16], seed: 1 },
  );
const data = memory("noise", { input: noise([32, 16], 1) });
const by = ({ changes }: Outcome): Record<string, Change["decidedBy"]> =>
  Object.fromEntries(changes.map(({ at, decidedBy }) => [at, decidedBy]));

async function zeros(model: Model, name: string): Promise<number> {
  const tensor = model.graph.value(name)?.tensor;
  const numbers = tensor === undefined ? [] : toNumbers(await tensor.read());
  return numbers.filter((value) => value === 0).length / numbers.length;
}

const scales = (model: Model, name: string) => model.graph.value(`${name}_scale`)?.tensor?.dims;

test("layer options override operator type options and pass options, and the last pattern decides", () => {
  const layer = { name: "layer4.fc", node: { op: "Gemm" } };
  const options = { amount: 0.1, n: 2, overrides: { "layer4*": { amount: 0.4 }, Gemm: { amount: 0.2, n: 1 } } };
  expect(optionsOfLayer(options, layer)).toMatchObject({ options: { amount: 0.4, n: 1 }, decidedBy: "layer" });
  expect(optionsOfLayer(options, { ...layer, name: "fc" })).toMatchObject({
    options: { amount: 0.2 },
    decidedBy: "op",
  });
  expect(optionsOfLayer(options, { name: "fc", node: { op: "Conv" } })).toMatchObject({
    options: { amount: 0.1, n: 2 },
    decidedBy: "global",
  });
  const several = { amount: 0.1, overrides: { "layer4*": { amount: 0.4 }, "*fc": { amount: 0.6 } } };
  expect(optionsOfLayer(several, layer).options.amount).toBe(0.6);
});

describe("prune", () => {
  test("prunes a different share of weights in a layer, or none at share 0", async () => {
    const model = net();
    const outcome = await prune(model, { amount: 0.5, overrides: { fc1: { amount: 0.25 }, fc3: { amount: 0 } } });
    expect(by(outcome)).toEqual({ fc1: "layer", fc2: "global" });
    expect(outcome.misses).toMatchObject([{ at: "fc3", reason: "its own amount in `overrides` removes nothing" }]);
    expect([await zeros(model, "fc1.weight"), await zeros(model, "fc2.weight")]).toEqual([0.25, 0.5]);
    expect(await zeros(model, "fc3.weight")).toBe(0);
  });

  test("prunes a different share of channels in a layer", async () => {
    const model = net();
    const outcome = await prune(model, { structured: 0.5, overrides: { fc2: { amount: 0.25 } } });
    expect(by(outcome)).toEqual({ fc1: "global", fc2: "layer" });
    expect(model.graph.value("fc1.weight")?.tensor?.dims[0]).toBe(12);
    expect(model.graph.value("fc2.weight")?.tensor?.dims).toEqual([20, 12]);
  });

  test("linked channels use the smallest share of their layers", async () => {
    const model = parseModel(`opset 21
graph (x: float32[N, 4]) -> (y: float32[N, 2]) {
  a.weight: float32[8, 4] = random(seed 1)
  b.weight: float32[8, 4] = random(seed 2)
  c.weight: float32[2, 8] = random(seed 3)
  h = Gemm "a" (x, a.weight) {transB=1}
  g = Gemm "b" (x, b.weight) {transB=1}
  s = Add (h, g)
  y = Gemm "c" (s, c.weight) {transB=1}
}`);
    const overrides = { a: { amount: 0.5 }, b: { amount: 0.25 } };
    expect(by(await prune(model, { structured: 0.75, overrides }))).toEqual({ a: "layer", b: "layer" });
    expect(model.graph.value("c.weight")?.tensor?.dims).toEqual([2, 6]);
  });

  test.each(["global", "isomorphic"] as const)("scope %s excludes a layer with a custom amount", async (scope) => {
    const model = net();
    const outcome = await prune(model, { structured: 0.75, scope, overrides: { fc1: { amount: 0.25 } } });
    expect(by(outcome)).toEqual({ fc1: "layer", fc2: "global" });
    expect(model.graph.value("fc2.weight")?.tensor?.dims).toEqual([8, 20]);
  });
});

describe("factorize", () => {
  test("uses the rank rule of a layer instead of the default", async () => {
    const model = net();
    const outcome = await factorize(model, { rank: 2, overrides: { fc1: { budget: 0.5 }, fc2: { rank: 4 } } });
    expect(by(outcome)).toEqual({ fc1: "layer", fc2: "layer", fc3: "global" });
    expect(model.graph.value("fc2.down.weight")?.tensor?.dims).toEqual([4, 24]);
    expect(model.graph.value("fc3.down.weight")?.tensor?.dims).toEqual([2, 24]);
  });

  test("rejects two rank rules for one layer", async () => {
    const twice = { fc1: { rank: 2, budget: 0.5 } };
    await expect(factorize(net(), { rank: 2, overrides: twice })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

describe("quantize", () => {
  test.each(["weights", "dynamic", "static"] as const)(
    "%s: uses one scale or another type for a layer",
    async (scheme) => {
      const model = net();
      const overrides = { fc1: { perChannel: false }, fc2: { weights: "uint8" } } as const;
      const outcome = await quantize(model, {
        scheme,
        weights: "int8",
        overrides,
        ...(scheme === "static" ? { data } : {}),
      });
      expect(by(outcome)).toMatchObject({ fc1: "layer", fc2: "layer", fc3: "global" });
      expect(scales(model, "fc1.weight")).toEqual([]);
      expect(scales(model, "fc3.weight")).toEqual([8]);
      const types = ["fc1", "fc2", "fc3"].map((name) => model.graph.value(`${name}.weight_quantized`)?.tensor?.type);
      expect(types).toEqual(["int8", "uint8", "int8"]);
    },
  );

  test("rejects unsupported layer options, and overrides of a scheme without layer options", async () => {
    const uint8 = { fc1: { weights: "uint8" } } as const;
    const wrong = quantize(net(), { scheme: "static", data, activations: "int8", overrides: uint8 });
    await expect(wrong).rejects.toThrow("int8 activations need int8 weights, got uint8");
    await expect(quantize(net(), { scheme: "float16", overrides: uint8 })).rejects.toMatchObject({ code: "E_OPTION" });
  });

  test("fake quantization rounds each layer to its bit width", async () => {
    const { changes } = await fakeQuantize(net(), { bits: 8, overrides: { fc2: { bits: 4 } } });
    expect(changes.map(({ at, bits, decidedBy }) => [at, bits, decidedBy])).toEqual([
      ["fc1", 8, "global"],
      ["fc2", 4, "layer"],
      ["fc3", 8, "global"],
    ]);
  });
});

describe("overrides without effect", () => {
  test("are rejected for an unknown layer, with the existing ones", async () => {
    await expect(prune(net(), { amount: 0.5, overrides: { fc9: { amount: 0.1 } } })).rejects.toMatchObject({
      code: "E_NAME",
      message: '`overrides`: no layer or operator type is called "fc9".',
      hint: expect.stringContaining("Layers: fc1, fc2, fc3."),
    });
  });

  test("are rejected for a node's name that is not its layer's", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y) {
  fc.weight: float32[4, 4] = random(seed 1)
  y = MatMul "node_1" (x, fc.weight)
}`);
    await expect(prune(model, { amount: 0.5, overrides: { node_1: { amount: 0.1 } } })).rejects.toMatchObject({
      code: "E_NAME",
      hint: expect.stringContaining("Layers: fc."),
    });
  });

  test("are rejected for an option that layers do not have, with the supported ones", async () => {
    const wrong = JSON.parse('{ "fc1": { "scope": "global" } }');
    await expect(prune(net(), { amount: 0.5, overrides: wrong })).rejects.toMatchObject({
      code: "E_OPTION",
      message: 'prune: "overrides.fc1.scope": "scope" is not known here, only amount.',
    });
    expect(() => recipeFrom({ steps: [{ quantize: { scheme: "weights", overrides: { fc1: { bit: 8 } } } }] })).toThrow(
      'steps[0].quantize.overrides.fc1.bit: "bit" is not known here, only bits, block, onnxOnly, zeroPoints, perChannel, weights, activations, float.',
    );
  });
});
