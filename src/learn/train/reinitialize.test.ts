import { describe, expect, it, test } from "vitest";
import { value } from "../../../test/find.ts";
import { shared } from "../../../test/shared.ts";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { createEngine } from "../../core/engine/index.ts";
import { structureHash } from "../../core/graph/hash.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { open } from "../../core/onnx/index.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { memory } from "../../data/batches/indexed.ts";
import { fakeQuantize } from "../../techniques/quantize/fake.ts";
import { quantize } from "../../techniques/quantize/quantize.ts";
import { reinitialize } from "./reinitialize.ts";
import { train } from "./train.ts";

const engine = createEngine();

async function numbersOf(model: Model, name: string): Promise<readonly number[]> {
  const dense = await value(model, name).tensor?.read();
  if (dense === undefined) throw new Error(`"${name}" is not stored`);
  return toNumbers(dense);
}

function deviationOf(numbers: readonly number[]): number {
  const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, one) => sum + (one - mean) ** 2, 0) / numbers.length);
}

/** Expects a variance within four standard errors: the relative standard error of a standard deviation is 1/√(2n). */
async function expectDrawn(model: Model, name: string, variance: number): Promise<void> {
  const numbers = await numbersOf(model, name);
  const ratio = deviationOf(numbers) / Math.sqrt(variance);
  expect(Math.abs(ratio - 1), `${name}: ${ratio}`).toBeLessThan(4 / Math.sqrt(2 * numbers.length));
}

/** Returns the standard deviation of each layer's outputs in one run. */
async function layerDeviations(model: Model, feeds: Batch): Promise<readonly number[]> {
  const names = layers(model, infer(model)).flatMap(({ node, role }) =>
    role.kind === "lookup" ? [] : (node.outputs[0]?.name ?? []),
  );
  const work = model.clone();
  work.graph.setOutputs(names.flatMap((name) => work.graph.value(name) ?? []));
  const session = await engine.load(work);
  const outputs = await session.run(feeds);
  await session.release();
  return names.map((name) => {
    const dense = outputs[name];
    return dense === undefined ? Number.NaN : deviationOf(toNumbers(dense));
  });
}

const normal = (dims: readonly number[]) => {
  const numbers = random(3, "inputs");
  return fromNumbers(
    "float32",
    dims,
    Float64Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => numbers.normal()),
  );
};

const mlp = (): Model =>
  parseModel(`opset 18
graph (x: float32[batch, 60]) -> (y) {
  fc1.weight: float32[200, 60] = random(seed 1)
  fc1.bias: float32[200] = random(seed 2)
  fc2.weight: float32[200, 100] = random(seed 3)
  fc2.bias: float32[100] = random(seed 4)
  slope: float32[100] = random(seed 5)
  fc3.weight: float32[10, 100] = random(seed 6)
  h1 = Gemm(x, fc1.weight, fc1.bias) {transB=1}
  a1 = Relu(h1)
  p2 = MatMul(a1, fc2.weight)
  h2 = Add(p2, fc2.bias)
  s2 = Mul(slope, h2)
  a2 = Tanh(s2)
  y = Gemm(a2, fc3.weight) {transB=1}
}`);

describe("a perceptron", () => {
  it("initializes weights by the next activation, scales to 1 and biases to 0", async () => {
    const model = mlp();
    const messages: string[] = [];
    const { changes, misses } = await reinitialize(model, {}, { seed: 1, log: ({ text }) => messages.push(text) });
    expect({ misses, said: messages }).toEqual({ misses: [], said: [] });
    expect(changes.map(({ at }) => at).sort()).toEqual(
      ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight", "fc3.weight", "slope"].sort(),
    );
    await expectDrawn(model, "fc1.weight", 2 / 60);
    await expectDrawn(model, "fc2.weight", 2 / 200);
    // Without a following activation, inputs and outputs count equally.
    await expectDrawn(model, "fc3.weight", 2 / 110);
    expect(new Set(await numbersOf(model, "slope"))).toEqual(new Set([1]));
    expect(new Set([...(await numbersOf(model, "fc1.bias")), ...(await numbersOf(model, "fc2.bias"))])).toEqual(
      new Set([0]),
    );
    expect(verify(model)).toEqual([]);
  });

  it("draws by the seed", async () => {
    const [first, again, otherSeed] = [mlp(), mlp(), mlp()];
    await reinitialize(first, {}, { seed: 1 });
    await reinitialize(again, {}, { seed: 1 });
    await reinitialize(otherSeed, {}, { seed: 2 });
    expect(await numbersOf(again, "fc1.weight")).toEqual(await numbersOf(first, "fc1.weight"));
    expect(await numbersOf(otherSeed, "fc1.weight")).not.toEqual(await numbersOf(first, "fc1.weight"));
    expect(await numbersOf(first, "fc2.weight")).not.toEqual((await numbersOf(first, "fc1.weight")).slice(0, 20000));
  });

  it("can be trained afterwards", async () => {
    const model = mlp();
    await reinitialize(model, {}, { seed: 1 });
    const x = normal([64, 60]);
    const label = fromNumbers(
      "int64",
      [64],
      Float64Array.from({ length: 64 }, (_, index) => index % 10),
    );
    const { history } = await train(model, {
      data: memory("some", { x, label }),
      epochs: 30,
      batch: 32,
      learningRate: 0.003,
    });
    expect(history[0]?.loss).toBeLessThan(4);
    expect(history.at(-1)?.loss).toBeLessThan(0.3);
  });
});

test("counts inputs and outputs per group of grouped, transposed and depthwise kernels", async () => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 32, 9, 9]) -> (y) {
  grouped: float32[64, 8, 3, 3] = random(seed 1)
  back: float32[64, 12, 2, 2] = random(seed 2)
  depthwise: float32[48, 1, 5, 5] = random(seed 3)
  a = Conv(x, grouped) {group=4}
  b = Relu(a)
  c = ConvTranspose(b, back) {group=4}
  y = Conv(c, depthwise) {group=48}
}`);
  await reinitialize(model, {}, { seed: 1 });
  await expectDrawn(model, "grouped", 2 / (8 * 9));
  await expectDrawn(model, "back", 2 / (16 * 4 + 12 * 4));
  await expectDrawn(model, "depthwise", 2 / (25 + 25));
});

test("keeps ties, buffers, masks and unclassified tensors", async () => {
  const text = `opset 18
graph (ids: int64[batch, 3]) -> (logits) {
  embedding.weight: float32[5, 4] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7], [8, 9, 1, 2]]
  position: float32[3, 4] = [[0, 1, 0, 1], [0.8414709848, 0.5403023059, 0.0099998333, 0.99995], [0.9092974268, -0.4161468365, 0.0199986667, 0.9998000067]]
  query_orig: float32[4, 4] parameter = random(seed 1)
  query_mask: float32[4, 4] mask = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]]
  head.weight: float32[4, 5] = [[1, 5, 9, 4, 8], [2, 6, 1, 5, 9], [3, 7, 2, 6, 1], [4, 8, 3, 7, 2]]
  temperature: float32[] parameter = [7]
  e = Gather(embedding.weight, ids)
  p = Add(e, position)
  query = Mul(query_orig, query_mask)
  q = MatMul(p, query)
  l = MatMul(q, head.weight)
  logits = Div(l, temperature)
}`;
  const [model, before] = [parseModel(text), parseModel(text)];
  const { misses } = await reinitialize(model, {}, { seed: 1 });
  for (const name of ["position", "query_mask", "temperature"])
    expect(await numbersOf(model, name), name).toEqual(await numbersOf(before, name));
  expect(misses.map(({ at }) => at)).toEqual(["temperature"]);
  const [embedding, head] = [await numbersOf(model, "embedding.weight"), await numbersOf(model, "head.weight")];
  expect(embedding).not.toEqual(await numbersOf(before, "embedding.weight"));
  expect(head).toEqual(Array.from(head, (_, index) => embedding[(index % 5) * 4 + Math.floor(index / 5)]));
  expect(value(model, "head.weight").role?.kind).toBe("tied");
  expect(await numbersOf(model, "query_orig")).not.toEqual(await numbersOf(before, "query_orig"));
});

test("keeps trained quantization scales and reports them", async () => {
  const model = mlp();
  await fakeQuantize(model, { bits: 4, learnScales: true });
  const range = await numbersOf(model, "fc1.weight_range");
  const { misses } = await reinitialize(model, {}, { seed: 1 });
  expect(misses.map(({ at }) => at)).toContain("fc1.weight_range");
  expect(await numbersOf(model, "fc1.weight_range")).toEqual(range);
  await expectDrawn(model, "fc1.weight", 2 / 60);
});

test("keeps quantized weights and reports them", async () => {
  const model = mlp();
  await quantize(model, { scheme: "weights", layers: "fc1" });
  const codes = layers(model, infer(model))[0]?.weight.name ?? "";
  const before = await numbersOf(model, codes);
  const { misses } = await reinitialize(model, {}, { seed: 1 });
  expect(misses).toEqual([expect.objectContaining({ at: "fc1", reason: expect.stringMatching(/stored as u?int8/) })]);
  expect(await numbersOf(model, codes)).toEqual(before);
  await expectDrawn(model, "fc2.weight", 2 / 200);
});

test("does not change a model without parameters", async () => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y) {
  b: float32[2, 2] buffer = [[0, 1], [1, 0]]
  r = Relu(x)
  y = Neg(r)
}`);
  const hash = structureHash(model);
  expect(await reinitialize(model)).toEqual({ changes: [], misses: [] });
  expect(structureHash(model)).toBe(hash);
});

test.skipIf(shared("data/models/resnet20.onnx") === undefined)(
  "keeps the size of activations through a ResNet-20",
  async () => {
    const model = await open(shared("data/models/resnet20.onnx") ?? "");
    const messages: string[] = [];
    const { misses } = await reinitialize(model, {}, { seed: 1, log: ({ text }) => messages.push(text) });
    expect(messages).toEqual([
      "38 running statistics will be updated from the batches in training, with or without `batchStatistics`",
    ]);
    expect(misses).toEqual([]);
    await expectDrawn(model, "conv1.weight", 2 / 27);
    await expectDrawn(model, "layer2.0.conv1.weight", 2 / (16 * 9));
    // A sum is between this layer and its activation, so it does not count as activated.
    await expectDrawn(model, "layer2.0.conv2.weight", 2 / (2 * 32 * 9));
    expect(value(model, "bn1.running_var").role?.kind).toBe("state");
    expect(new Set(await numbersOf(model, "layer3.2.bn2.running_var"))).toEqual(new Set([1]));
    expect(new Set(await numbersOf(model, "layer3.2.bn2.running_mean"))).toEqual(new Set([0]));
    expect(new Set(await numbersOf(model, "layer3.2.bn2.weight"))).toEqual(new Set([1]));
    const [input] = model.graph.feeds;
    const deviations = await layerDeviations(model, { [input?.name ?? ""]: normal([8, 3, 32, 32]) });
    expect(deviations.length).toBe(20);
    expect(Math.min(...deviations)).toBeGreaterThan(0.3);
    expect(Math.max(...deviations)).toBeLessThan(10);
  },
);

const bert = "data/models/bert_sst2/onnx/model.onnx";

test.skipIf(shared(bert) === undefined)("keeps the size of activations through a BERT", async () => {
  const model = await open(shared(bert) ?? "");
  const { misses } = await reinitialize(model, {}, { seed: 1 });
  expect(misses).toEqual([]);
  await expectDrawn(model, "model.bert.embeddings.word_embeddings.weight", 1 / 128);
  expect(new Set(await numbersOf(model, "model.bert.embeddings.LayerNorm.weight"))).toEqual(new Set([1]));
  expect(new Set(await numbersOf(model, "model.bert.embeddings.LayerNorm.bias"))).toEqual(new Set([0]));
  const variances = layers(model, infer(model)).flatMap(({ weight, inputs, outputs, role }) =>
    role.kind === "lookup" ? [] : [[weight.name, inputs, outputs] as const],
  );
  // Activations follow the layers with 512 outputs and the pooler.
  for (const [name, inputs, outputs] of variances)
    await expectDrawn(model, name, outputs === 512 || name.includes("pooler") ? 2 / inputs : 2 / (inputs + outputs));
  const numbers = random(3, "words");
  const words = fromNumbers(
    "int64",
    [4, 16],
    Float64Array.from({ length: 64 }, () => Math.floor(6000 * numbers.uniform())),
  );
  const feeds = Object.fromEntries(
    model.graph.feeds.map(({ name }) => [
      name,
      name.includes("mask")
        ? fromNumbers("int64", [4, 16], new Float64Array(64).fill(1))
        : name === "input_ids"
          ? words
          : fromNumbers("int64", [4, 16], new Float64Array(64)),
    ]),
  );
  const deviations = await layerDeviations(model, feeds);
  expect(Math.min(...deviations)).toBeGreaterThan(0.3);
  expect(Math.max(...deviations)).toBeLessThan(10);
});

test("reports layers inside subgraphs as unchanged", async () => {
  const branch = `y = If "branch" (flag) {then_branch=graph () -> (a) {
    w: float32[4, 4] = random(seed 1)
    a = MatMul(h, w)
  }, else_branch=graph () -> (b) { b = Relu(h) }}`;
  for (const [first, count] of [
    ["h = Relu(x)", 0],
    ["v: float32[4, 4] = random(seed 2)\n  h = MatMul(x, v)", 1],
  ] as const) {
    const model = parseModel(`opset 17
graph (x: float32[n, 4], flag: bool[]) -> (y: float32[n, 4]) {
  ${first}
  ${branch}
}`);
    const { changes, misses } = await reinitialize(model, {});
    expect(changes).toHaveLength(count);
    expect(misses).toMatchObject([
      { at: 'If "branch"', reason: expect.stringMatching(/^layers inside subgraphs are not changed/) },
    ]);
  }
});
