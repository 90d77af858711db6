import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { value } from "../../../test/find.ts";
import { createEngine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { linear, network } from "../../learn/nn/index.ts";
import { blockInfluence } from "./drop-layers.ts";
import { prune } from "./index.ts";
import { bypassOf, repeatedLayers } from "./repeated-layers.ts";

interface Golden {
  readonly x: readonly number[];
  readonly blocks: readonly (readonly (readonly number[])[])[];
  readonly influence: readonly number[];
}
const golden: { readonly vectors: Golden; readonly images: Golden } = JSON.parse(
  readFileSync(new URL("../../../test/golden/block-influence.generated.json", import.meta.url), "utf8"),
);

/** Returns a network of residual blocks h + gelu(h A + a) B. */
const tower = ({ blocks }: Golden, more = ""): Model =>
  parseModel(`opset 20
graph (x: float32[batch, 4, 6]${more}) -> (y: float32[batch, 4, 2]) {
  stem: float32[1] parameter = [1]
  h0 = Mul(x, stem)
  ${blocks
    .map(
      ([a, bias, b], index) => `
  layers.${index}.up.weight: float32[6, 12] = [${a}]
  layers.${index}.up.bias: float32[12] = [${bias}]
  layers.${index}.down.weight: float32[12, 6] = [${b}]
  product${index} = MatMul(h${index}, layers.${index}.up.weight)
  biased${index} = Add(product${index}, layers.${index}.up.bias)
  wide${index} = Gelu(biased${index})
  narrow${index} = MatMul(wide${index}, layers.${index}.down.weight)
  h${index + 1} = Add(h${index}, narrow${index})`,
    )
    .join("")}
  head: float32[6, 2] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
  y = MatMul(h${blocks.length}, head)
}`);

/** Returns a network of residual blocks relu(h + conv(h)). */
const images = ({ blocks }: Golden): Model =>
  parseModel(`opset 20
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 3, 4, 4]) {
  stem: float32[1] parameter = [1]
  scaled = Mul(x, stem)
  h0 = Relu(scaled)
  ${blocks
    .map(
      ([w], index) => `
  blocks.${index}.weight: float32[2, 2, 1, 1] = [${w}]
  c${index} = Conv(h${index}, blocks.${index}.weight)
  s${index} = Add(h${index}, c${index})
  h${index + 1} = Relu(s${index})`,
    )
    .join("")}
  head: float32[3, 2, 1, 1] = [1, 2, 3, 4, 5, 6]
  y = Conv(h${blocks.length}, head)
}`);

const dataOf = ({ x }: Golden, dims: readonly number[]) => memory("samples", { x: float32([3, ...dims], x) });
const remainingLayers = (model: Model): readonly string[] => [
  ...new Set([...model.graph.values()].flatMap(({ name }) => /^(?:layers|blocks)\.\d/.exec(name)?.[0] ?? [])),
];

const waysOf = (model: Model) =>
  repeatedLayers(model)
    .flat()
    .flatMap((block) => {
      const way = bypassOf(model, block);
      return way instanceof Miss ? [] : [way];
    });

describe("blockInfluence", () => {
  test.each([
    ["vectors of a transformer", tower(golden.vectors), golden.vectors, [4, 6]],
    ["channels of a convolution, some of them zero vectors", images(golden.images), golden.images, [2, 4, 4]],
  ] as const)("equals NumPy: %s", async (_, model, expected, dims) => {
    const influences = await blockInfluence(
      model,
      waysOf(model),
      { data: dataOf(expected, dims), samples: 3 },
      completeContext(),
    );
    expect(influences.size).toBe(expected.influence.length);
    [...influences.values()].forEach((influence, index) => {
      expect(influence).toBeCloseTo(expected.influence[index] ?? Number.NaN, 5);
    });
  });
});

test("blockInfluence ignores padding tokens", async () => {
  const { vectors } = golden;
  const masked = tower(vectors, ", attention_mask: int64[batch, 4]");
  const influences = async (model: Model, x: readonly number[], mask?: readonly number[]) => {
    const rows = { x: float32([x.length / 24, 4, 6], x) };
    const texts = memory("texts", mask === undefined ? rows : { ...rows, attention_mask: int64([3, 4], mask) });
    const influences = await blockInfluence(model, waysOf(model), { data: texts, samples: 3 }, completeContext());
    return [...influences.values()];
  };
  const alone = await influences(tower(vectors), vectors.x.slice(24, 48));
  const filled = await influences(masked, vectors.x, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
  expect(filled).toHaveLength(4);
  for (const [index, influence] of filled.entries()) expect(influence).toBeCloseTo(alone[index] ?? Number.NaN, 9);
  expect(await influences(masked, vectors.x, new Array(12).fill(1))).not.toEqual(filled);
});

describe("prune with dropLayers", () => {
  const data = dataOf(golden.vectors, [4, 6]);

  test("removes the layer nearest to the identity and keeps the others", async () => {
    const model = tower(golden.vectors);
    const { changes, misses } = await prune(model, { dropLayers: 1, data });
    expect(changes).toEqual([{ at: "layers.1", what: "removed (influence 0.015)", decidedBy: "global" }]);
    expect(misses).toEqual([]);
    expect(verify(model)).toEqual([]);
    const { vectors } = golden;
    const without = tower({ ...vectors, blocks: vectors.blocks.filter((_, index) => index !== 1) });
    const x = float32([3, 4, 6], vectors.x);
    const answers = [model, without].map(async (network) => {
      const session = await createEngine().load(network);
      const { y } = await session.run({ x });
      await session.release();
      return y === undefined ? [] : toNumbers(y);
    });
    const [outputs, expected] = await Promise.all(answers);
    expect(outputs).toEqual(expected);
  });

  test.each([2, 3])("removes the %d layers of lowest influence", async (dropLayers) => {
    const model = tower(golden.vectors);
    await prune(model, { dropLayers, data });
    const ranks = golden.vectors.influence
      .map((influence, index) => [influence, `layers.${index}`] as const)
      .sort(([a], [b]) => b - a);
    const stay = ranks.slice(0, 4 - dropLayers).map(([, name]) => name);
    expect(remainingLayers(model)).toEqual(stay.sort());
  });

  test("removes a residual block of a convolutional network", async () => {
    const model = images(golden.images);
    await prune(model, { dropLayers: 1, data: dataOf(golden.images, [2, 4, 4]) });
    expect(remainingLayers(model)).toEqual(["blocks.0", "blocks.1"]);
  });

  test.each([
    ["all layers", { dropLayers: 4, data }, "E_OPTION", /4 layers cannot be dropped: 4 of 4 .* at least one is kept/],
    ["a layer without samples", { dropLayers: 1 }, "E_OPTION", /"data": `dropLayers` requires samples/],
    ["a layer and an amount", { dropLayers: 1, amount: 0.5, data }, "E_OPTION", /is for whole layers/],
    ["a layer and channels", { dropLayers: 1, structured: true, data }, "E_OPTION", /is for whole layers/],
    ["no layer", { dropLayers: 0, data }, "E_OPTION", /dropLayers/],
  ] as const)("rejects %s and changes nothing", async (_, options, code, message) => {
    const model = tower(golden.vectors);
    await expect(prune(model, options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    expect(remainingLayers(model)).toHaveLength(4);
  });

  test("rejects infinite values", async () => {
    const model = tower(golden.vectors);
    const broken = memory("samples", { x: float32([1, 4, 6], new Array<number>(24).fill(Number.POSITIVE_INFINITY)) });
    await expect(prune(model, { dropLayers: 1, data: broken })).rejects.toMatchObject({ code: "E_DATA" });
    expect(value(model, "layers.1.up.weight").tensor).toBeDefined();
  });

  test("rejects a network without repeated layers", async () => {
    const plain = network({ fc1: linear(4, 3), fc2: linear(3, 2) }, { input: ["batch", 4], seed: 1 });
    const [input = ""] = plain.graph.feeds.map(({ name }) => name);
    const samples = memory("samples", { [input]: float32([1, 4], [1, 2, 3, 4]) });
    await expect(prune(plain, { dropLayers: 1, data: samples })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/The network has no repeated layers/),
    });
  });

  test("keeps blocks that change the shape, with the reason", async () => {
    const model = parseModel(`opset 20
graph (x: float32[batch, 8, 16]) -> (y: float32[batch, 4, 4, 1]) {
  ${[0, 1]
    .map(
      (index) => `
  blocks.${index}.weight: float32[8, 8, 3] = random(seed ${index + 1})
  c${index} = Conv(${index === 0 ? "x" : `p${index - 1}`}, blocks.${index}.weight) {pads=[1, 1]}
  r${index} = Relu(c${index})
  p${index} = MaxPool(r${index}) {kernel_shape=[2], strides=[2]}`,
    )
    .join("")}
  sizes: int64[4] = [-1, 4, 4, 2]
  shaped = Reshape(p1, sizes)
  head: float32[2, 1] = [1, 2]
  y = MatMul(shaped, head)
}`);
    const samples = memory("samples", { x: float32([1, 8, 16], new Array<number>(128).fill(1)) });
    await expect(prune(model, { dropLayers: 1, data: samples })).rejects.toMatchObject({
      message: expect.stringMatching(
        /The network has no repeated layers|0 of 2 .*none of its inputs has the shape of its output/,
      ),
    });
  });
});
