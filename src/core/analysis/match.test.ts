import { describe, expect, test } from "vitest";
import {
  convolutional,
  expectEveryNumberOfLayers,
  expectInConvolutions,
  expectInTransformers,
  norms,
  pairs,
  perceptron,
  texts,
  transformer,
} from "../../../test/distill/networks.ts";
import { shared } from "../../../test/shared.ts";
import { averagePool, conv2d, network, relu, residual } from "../../learn/nn/index.ts";
import { factorize } from "../../techniques/factorize/index.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { open } from "../onnx/index.ts";
import { matchLayers } from "./match.ts";

/** Builds residual blocks at two resolutions: `a` before the pooling, `b` after it. */
const staged = (first: number, second: number): Model => {
  const block = () =>
    residual({ a: conv2d(4, 4, 3, { padding: 1 }), relu: relu(), b: conv2d(4, 4, 3, { padding: 1 }) });
  const blocks = (name: string, count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`${name}${at}`, block()]));
  return network(
    {
      stem: conv2d(3, 4, 3),
      ...blocks("a", first),
      pool: averagePool(2),
      ...blocks("b", second),
      end: conv2d(4, 2, 1),
    },
    { input: ["batch", 3, 10, 10], seed: 1 },
  );
};

describe("matchLayers", () => {
  test.each(["pre-norm", "post-norm"] as const)(
    "matches each layer's output state with one of the teacher, for any depth: %s",
    async (order) => {
      await expectEveryNumberOfLayers(transformer(5, 8, 2, 1, order));
    },
  );

  test.each(["pre-norm", "post-norm"] as const)(
    "matches a single layer of another width with the last layer: %s",
    (order) => {
      const [student, teacher] = [transformer(1, 8, 2, 1, order), transformer(3, 12, 3, 2, order)];
      const [[output, counterpart] = [], ...more] = pairs(student, teacher);
      expect(more).toEqual([]);
      expect(counterpart?.replace("layer2", "layer0")).toBe(output);
      expect(pairs(teacher, student).map(([, last]) => last)).toEqual([output, output, output]);
    },
  );

  test("matches the states of a factorized student by their names", async () => {
    const teacher = transformer(4, 8, 2, 1, "post-norm");
    const student = teacher.clone();
    await factorize(student, { rank: 2, layers: ["words", "layer1.*", "layer3.*"], timing: false });
    expect(pairs(student, teacher)).toEqual(pairs(teacher, teacher));
  });

  test("matches the last state of an encoder, which is an output of the model", () => {
    const encoder = (layers: number): Model => {
      const model = transformer(layers, 8, 2, 1, "post-norm");
      const last = model.graph.value(pairs(model, model).at(-1)?.[0] ?? "");
      if (last === undefined) throw new Error("no state");
      model.graph.setOutputs([last]);
      return model;
    };
    expect(pairs(encoder(2), encoder(4)).map(([, teacher]) => teacher)).toEqual([
      expect.stringContaining("layer1."),
      expect.stringContaining("layer3."),
    ]);
  });

  test("matches stage by stage if both networks have the same number of resolutions", () => {
    expect(pairs(staged(1, 1), staged(3, 1)).map(([, teacher]) => teacher)).toEqual(["a2.output", "b0.output"]);
    expect(pairs(staged(2, 1), staged(2, 4)).map(([, teacher]) => teacher)).toEqual([
      "a0.output",
      "a1.output",
      "b3.output",
    ]);
  });

  test("matches last block with last block for any number of blocks", () => {
    const layer = (at: number) => expect.stringContaining(`layer${at}.`);
    expect(pairs(transformer(2, 8, 2), transformer(6, 12, 3))).toEqual([
      [layer(0), layer(2)],
      [layer(1), layer(5)],
    ]);
    expect(pairs(transformer(4, 8, 2), transformer(2, 8, 2)).map(([, teacher]) => teacher)).toEqual([
      layer(0),
      layer(0),
      layer(1),
      layer(1),
    ]);
  });

  test("includes the activation after a residual block in the block", () => {
    expect(pairs(convolutional(1, 4), convolutional(3, 8))).toEqual([["block0.relu.output", "block2.relu.output"]]);
  });

  test("matches layer by layer if no block has several layers, without the outputs", () => {
    expect(pairs(perceptron([8, 3]), perceptron([16, 12, 3]))).toEqual([["relu0.output", "relu1.output"]]);
  });

  test("matches the pairs that the caller names", () => {
    expect(pairs(perceptron([8, 3]), perceptron([16, 12, 3]), { fc0: "relu1.output" })).toEqual([
      ["fc0.output", "relu1.output"],
    ]);
  });

  test.each([
    [{ fc7: "fc0" }, 'the student has no value, layer or block "fc7"; layers are fc0, fc1'],
    [{ fc0: "fc7" }, 'the teacher has no value, layer or block "fc7"; layers are fc0, fc1, fc2'],
  ] as const)("gives a reason if nothing matches: %o", (by, reason) => {
    const matched = matchLayers(perceptron([9, 3]), perceptron([16, 12, 3]), by);
    expect(matched).toBeInstanceOf(Miss);
    expect(matched).toMatchObject({ reason: expect.stringContaining(reason) });
  });
});

const file = (path: string): string => shared(`data/models/${path}`) ?? "";
describe.skipIf(file("resnet56.onnx") === "")("matchLayers on exported models", () => {
  test("matches a network of three blocks with the ends of three stages", async () => {
    const [student, teacher] = [await open(file("resnet8_cifar10.onnx")), await open(file("resnet56.onnx"))];
    expect(pairs(student, teacher)).toEqual([
      ["relu_13", "relu_66"],
      ["relu_25", "relu_132"],
      ["relu_37", "relu_198"],
    ]);
  });

  test.each([
    ["bert_sst2/onnx/model.onnx", ["layer_norm_2", "layer_norm_4", "layer_norm_6", "layer_norm_8"]],
    ["llama260k.onnx", ["add_80", "add_149", "add_218", "add_287"]],
    ["llama_shakespeare/onnx/model.onnx", ["add_409", "add_718", "add_1027", "add_1336"]],
  ])("%s: matches the states after layers, before the final normalization", async (path, states) => {
    const model = await open(file(path));
    expect(pairs(model, model)).toEqual(states.map((name) => [name, name]));
  });
});

describe("a loss that compares inner values", () => {
  test.each(["hinton", "fitnets", "hidden-mse"])("finds them in transformers: %s", expectInTransformers);

  test("finds them in convolutional networks", () => expectInConvolutions("fitnets"));

  test("logs the pairs with their sizes", async () => {
    const { told } = await norms("hidden-mse", transformer(1, 8, 2), transformer(2, 12, 3, 5), texts(4, 5));
    expect(told).toEqual([
      expect.stringMatching(/^hidden-mse: layer0\S* \[4, 5, 8\] ← teacher\.layer1\S* \[4, 5, 12\], projected$/),
    ]);
  });
});
