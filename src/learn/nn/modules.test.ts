import { describe, expect, it } from "vitest";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import {
  attention,
  averagePool,
  batchNorm,
  conv1d,
  conv2d,
  dropout,
  embedding,
  flatten,
  gelu,
  globalAveragePool,
  layerNorm,
  linear,
  type Module,
  maxPool,
  network,
  positionEmbedding,
  relu,
  residual,
  select,
  sequential,
  sigmoid,
  silu,
  tanh,
} from "./index.ts";
import type { InputDims, NetworkInput } from "./network.ts";

const stored = (model: ReturnType<typeof network>) =>
  [...model.graph.values()].filter(({ role }) => role?.kind === "parameter").map(({ name }) => name);
const tokens = {
  input_ids: { type: "int64", dims: ["batch", "tokens"] },
  attention_mask: { type: "int64", dims: ["batch", "tokens"] },
} as const;

/** Returns a text classifier with all modules for text. */
const classifier = (seed = 1) =>
  network(
    {
      embeddings: sequential({ word: embedding(50, 8), position: positionEmbedding(16, 8), norm: layerNorm(8) }),
      encoder: sequential({
        layer: sequential(
          [0, 1].map(() =>
            sequential({
              attention: residual(attention(8, 2, { mask: "attention_mask" })),
              norm: layerNorm(8),
              feed: residual({ up: linear(8, 16), gelu: gelu(), down: linear(16, 8) }),
            }),
          ),
        ),
      }),
      first: select(1, 0),
      head: sequential({ dropout: dropout(0.1), fc: linear(8, 2) }),
    },
    { input: tokens, seed },
  );

describe("network", () => {
  it("names nested parameters as PyTorch does", () => {
    const names = stored(classifier());
    expect(names.slice(0, 4)).toEqual([
      "embeddings.word.weight",
      "embeddings.position.weight",
      "embeddings.norm.weight",
      "embeddings.norm.bias",
    ]);
    expect(names).toContain("encoder.layer.0.attention.query.weight");
    expect(names).toContain("encoder.layer.1.attention.output.bias");
    expect(names).toContain("encoder.layer.1.feed.up.weight");
    expect(names.slice(-2)).toEqual(["head.fc.weight", "head.fc.bias"]);
    expect(new Set(names).size).toBe(names.length);
  });

  it("draws initial weights by seed and module name", async () => {
    const read = async (model: ReturnType<typeof network>, name: string) =>
      (await model.graph.value(name)?.tensor?.read())?.data;
    const [first, second] = ["encoder.layer.0.attention.query.weight", "encoder.layer.1.attention.query.weight"];
    expect(await read(classifier(), first)).toEqual(await read(classifier(), first));
    expect(await read(classifier(), first)).not.toEqual(await read(classifier(2), first));
    expect(await read(classifier(), first)).not.toEqual(await read(classifier(), second));
  });

  it("writes the same file again after it is saved and opened", async () => {
    const model = classifier();
    const file = await encodeToBytes(model);
    const reopened = await open(file);
    expect(await encodeToBytes(reopened)).toEqual(file);
    expect(stored(reopened)).toEqual(stored(model));
  });

  it("infers output shapes with symbolic sizes", () => {
    const dims = (module: Module, input: InputDims) =>
      network({ m: module }, { input, seed: 1 }).graph.outputs[0]?.type?.dims?.map((dim) =>
        typeof dim === "number" ? dim : dim.text,
      );
    expect(dims(conv1d(2, 5, 3, { stride: 2 }), ["batch", 2, 9])).toEqual(["batch", 5, 4]);
    expect(dims(conv2d(2, 5, 3, { padding: 1 }), ["batch", 2, 8, 6])).toEqual(["batch", 5, 8, 6]);
    expect(dims(maxPool(2), ["batch", 2, 8, 6])).toEqual(["batch", 2, 4, 3]);
    expect(dims(averagePool(3, { stride: 1 }), ["batch", 2, 8])).toEqual(["batch", 2, 6]);
    expect(dims(globalAveragePool(), ["batch", 2, 8, 6])).toEqual(["batch", 2, 1, 1]);
    expect(dims(flatten(), ["batch", 2, 8, 6])).toEqual(["batch", 96]);
    expect(dims(select(1, -1), ["batch", "tokens", 6])).toEqual(["batch", 6]);
    expect(dims(attention(6, 2), ["batch", "tokens", 6])).toEqual(["batch", "tokens", 6]);
    for (const module of [relu(), sigmoid(), tanh(), silu(), gelu(), dropout(), batchNorm(3), layerNorm(4)])
      expect(dims(module, ["batch", 3, 4])).toEqual(["batch", 3, 4]);
  });
});

describe("modules reject an input that does not fit, with name, expected and actual shape", () => {
  const build = (module: Module, input: InputDims | Readonly<Record<string, NetworkInput>>) => () =>
    network({ body: sequential({ it: module }) }, { input, seed: 1 });
  const f = "float32" as const;

  it.each([
    ["linear", linear(3, 2), ["batch", 4], 'linear "body.it": expected […, 3], got [batch, 4]'],
    ["linear without a batch", linear(3, 2), [3], 'linear "body.it": expected […, 3], got [3]'],
    ["linear behind an image", linear(48, 2), ["batch", 3, 4, 4], 'linear "body.it": expected […, 48]'],
    ["conv1d", conv1d(3, 2, 3), ["batch", 4, 9], 'conv1d "body.it": expected [batch, 3, length], got [batch, 4, 9]'],
    ["conv2d of a vector", conv2d(3, 2, 3), ["batch", 3], "expected [batch, 3, height, width], got [batch, 3]"],
    ["batchNorm", batchNorm(3), ["batch", 4, 2], 'batchNorm "body.it": expected [batch, 3, …], got [batch, 4, 2]'],
    ["layerNorm", layerNorm(3), ["batch", 4], 'layerNorm "body.it": expected […, 3], got [batch, 4]'],
    ["layerNorm of an open width", layerNorm(3), ["batch", "w"], "expected […, 3], got [batch, w]"],
    ["maxPool", maxPool(2), ["batch", 4], 'maxPool "body.it": expected [batch, channels, …], got [batch, 4]'],
    ["globalAveragePool", globalAveragePool(), ["batch", 4], "expected [batch, channels, …], got [batch, 4]"],
    ["embedding of floats", embedding(5, 3), ["batch", 4], 'embedding "body.it": expected int64[…], got float32'],
    ["positions of too long a text", positionEmbedding(4, 3), ["batch", 5, 3], "expected [batch, at most 4 tokens, 3]"],
    ["attention", attention(6, 2), ["batch", 4, 5], "expected [batch, tokens, 6], got [batch, 4, 5]"],
    ["attention's mask", attention(6, 2, { mask: "m" }), ["batch", 4, 6], 'has no input "m", only "input"'],
    ["residual", residual([linear(4, 3)]), ["batch", 4], 'residual "body.it": expected [batch, 4], got [batch, 3]'],
    ["select", select(1, 7), ["batch", 4], 'select "body.it": expected an index 7 of axis 1, got [batch, 4]'],
  ] as const)("%s", (_, module, input, message) => {
    expect(build(module, input)).toThrow(message);
  });

  it("attention rejects a mask of other dimensions", () => {
    const input = { x: { type: f, dims: ["batch", "tokens", 6] }, m: { type: "int64", dims: ["batch", 9] } } as const;
    expect(build(attention(6, 2, { mask: "m" }), input)).toThrow(
      'attention "body.it": expected a mask [batch, tokens], got [batch, 9]',
    );
  });

  it.each([
    ["groups that do not divide", () => conv2d(3, 4, 3, { groups: 2 }), "are not divisible by 2 groups"],
    ["a kernel of other axes", () => conv2d(3, 4, [3, 3, 3]), "kernel must be one number or 2, got 3"],
    ["a stride of nothing", () => conv1d(3, 4, 3, { stride: 0 }), "stride must be a whole number of at least 1, got 0"],
    ["half a channel", () => conv1d(1.5, 4, 3), "inputs must be a whole number of at least 1, got 1.5"],
    ["heads that do not divide", () => attention(8, 3), "a width of 8 is not divisible by 3 heads"],
    ["a certain drop", () => dropout(1), "the probability must be at least 0 and below 1, got 1"],
    ["no words", () => embedding(0, 3), "count must be a whole number of at least 1, got 0"],
    ["a padding wider than half", () => build(maxPool(2, { padding: 2 }), ["b", 1, 4])(), "more than half of 2"],
    ["no modules", () => network({}, { input: ["batch", 2], seed: 1 }), "at least one module that computes"],
    ["no inputs", () => network([relu()], { input: {}, seed: 1 }), "takes at least one input, got none"],
  ] as const)("%s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
