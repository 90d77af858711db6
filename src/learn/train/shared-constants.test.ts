import { describe, expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { crossEntropy } from "./losses/cross-entropy.ts";
import { declareRoles } from "./roles.ts";
import { createStep } from "./step.ts";
import { train } from "./train.ts";

/** Returns two layers, each followed by a normalization. @param stored text of the shared tensors. The pair is the text of both normalizations. */
const network = (stored: string, [first, second]: readonly [string, string], opset = 23): Model =>
  parseModel(`opset ${opset}
graph (x: float32[batch, 4]) -> (logits: float32[batch, 4]) {
  a: float32[4, 4] = random(seed 1)
  b: float32[4, 4] = random(seed 2)
  ${stored}
  h = MatMul(x, a)
  m = ${first}
  r = Relu(m)
  k = MatMul(r, b)
  logits = ${second}
}`);

const ones = "ones: float32[4] = ones";
const rms = (name: string): readonly [string, string] => [`RMSNormalization(h, ones)`, `RMSNormalization(k, ${name})`];
const layerNorm = (scale: string, shift: string): readonly [string, string] => [
  "LayerNormalization(h, ones, zeros)",
  `LayerNormalization(k, ${scale}, ${shift})`,
];

const numbers = random(3, "samples");
const samples = {
  x: float32(
    [32, 4],
    Array.from({ length: 128 }, () => numbers.normal()),
  ),
  label: fromNumbers(
    "int64",
    [32],
    Array.from({ length: 32 }, (_, index) => index % 4),
  ),
};
const data = memory("samples", samples);

async function lossesOf(model: Model): Promise<readonly number[]> {
  const { history } = await train(
    model,
    { data, epochs: 4, batch: 8, optimizer: "adam", learningRate: 0.01 },
    { seed: 1 },
  );
  return history.map(({ loss }) => loss);
}

const stored = (model: Model): readonly string[] =>
  [...model.graph.values()].filter(({ tensor }) => tensor !== undefined).map(({ name }) => name);

describe("constants that several layers share", () => {
  test.each([
    ["scales of RMSNormalization", ones, rms("ones"), `${ones}\n own: float32[4] = ones`, rms("own")],
    [
      "scales and shifts of LayerNormalization",
      `${ones}\n zeros: float32[4] = zeros`,
      layerNorm("ones", "zeros"),
      `${ones}\n zeros: float32[4] = zeros\n own: float32[4] = ones\n shift: float32[4] = zeros`,
      layerNorm("own", "shift"),
    ],
  ] as const)("%s train as if each layer had a separate tensor", async (_, merged, both, separate, each) => {
    const model = network(merged, both);
    expect(await lossesOf(model)).toEqual(await lossesOf(network(separate, each)));
    expect(stored(model)).toContain("ones_1");
    expect(verify(model)).toEqual([]);
    const [first, second] = ["ones", "ones_1"].map((name) => model.graph.value(name)?.tensor);
    expect(await first?.read()).not.toEqual(await second?.read());
  });

  test("separates biases, also before a reshape, and keeps other readers", async () => {
    const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y) {
  a: float32[4, 4] = random(seed 1)
  b: float32[4, 4] = random(seed 2)
  zeros: float32[4] = zeros
  h = Gemm(x, a, zeros)
  r = Max(h, zeros)
  k = MatMul(r, b)
  moved = Unsqueeze(zeros, axis)
  axis: int64[1] = [0]
  y = Add(k, moved)
}`);
    const { separatedParameters: parted } = await declareRoles(model);
    expect(parted.map(({ reader, name }) => [reader, name])).toEqual([
      ["h", "zeros_1"],
      ["moved", "zeros_2"],
    ]);
    expect(verify(model)).toEqual([]);
    expect([...(model.graph.value("zeros")?.uses ?? [])].map(({ node }) => node.op)).toEqual(["Max"]);
  });

  test.each([
    ["has learnt", "ones: float32[4] = [1, 1, 1, 0.9]", rms("ones")],
    ["has a role", "ones: float32[4] parameter = ones", rms("ones")],
    ["one layer reads", `${ones}\n own: float32[4] = ones`, rms("own")],
  ] as const)("a tensor that %s stays shared", async (_, numbers, both) => {
    const model = network(numbers, both);
    const before = stored(model);
    expect((await declareRoles(model)).separatedParameters).toEqual([]);
    expect(stored(model)).toEqual(before);
  });

  test("keeps one bias for the steps of a layer that share its weight", async () => {
    const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  other: float32[4, 4] = random(seed 2)
  zeros: float32[4] = zeros
  first = Gemm(x, w, zeros)
  second = Gemm(first, w, zeros)
  p = MatMul(second, other)
  y = Add(p, zeros)
}`);
    expect((await declareRoles(model)).separatedParameters.map(({ reader }) => reader)).toEqual(["y"]);
  });
});

describe("createStep trains the same tensors as `train`", () => {
  const inNodes = (): Model =>
    parseModel(`opset 18
graph (x: float32[batch, 4]) -> (logits: float32[batch, 4]) {
  a: float32[4, 4] = random(seed 1)
  b = Constant() {value=float32[4, 4] random(seed 2)}
  scale = Constant() {value=float32[4] [1, 1, 1, 1]}
  h = MatMul(x, a)
  n = Mul(h, scale)
  r = Relu(n)
  k = MatMul(r, b)
  logits = Mul(k, scale)
}`);

  test("trains and stores weights in Constant nodes and separate scales", async () => {
    const model = inNodes();
    const step = await createStep(model, samples, { loss: crossEntropy() }, { seed: 1 });
    const names = step.parameters.map(({ name }) => name).sort();
    const trained = inNodes();
    const outcome = await train(
      trained,
      { data, epochs: 1, batch: 32, optimizer: "sgd", learningRate: 0.1 },
      { seed: 1 },
    );
    const stems = (all: readonly string[]): readonly string[] => all.map((name) => name.replace(/_\d+$/, "")).sort();
    expect(stems(names)).toEqual(["a", "b", "scale", "scale"]);
    expect(stems(outcome.changes.map(({ at }) => at))).toEqual(stems(names));
    for (const { values } of step.parameters) values.fill(7);
    step.store(model);
    await step.release();
    expect(verify(model)).toEqual([]);
    for (const name of names) {
      const dense = await model.graph.value(name)?.tensor?.read();
      expect(dense === undefined ? [] : toNumbers(dense)).toEqual(expect.arrayContaining([7]));
    }
    expect(model.graph.value("logits")?.producer?.inputs[1]?.name).toBe("scale_1");
  });
});
