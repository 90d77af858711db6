import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { emitInto } from "../../core/graph/emit.ts";
import type { Model } from "../../core/graph/model.ts";
import { roleText } from "../../core/graph/role.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32, inMemory } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { declareRoles } from "./roles.ts";
import { train } from "./train.ts";

const roles = (model: Model): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...model.graph.values()].flatMap(({ name, role }) => (role === undefined ? [] : [[name, roleText(role)]])),
  );

const numbersOf = async (model: Model, name: string): Promise<readonly number[]> => {
  const dense = await model.graph.value(name)?.tensor?.read();
  return dense === undefined ? [] : toNumbers(dense);
};

/** Returns a language model of one layer with a causal mask. Its head is the transposed embedding. */
const language = (more = ""): Model =>
  parseModel(`opset 18
graph (ids: int64[batch, 3]) -> (logits) {
  embedding.weight: float32[5, 4] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 3], [4, 5, 6, 7], [8, 9, 1, 2]]
  query: float32[4, 4] = random(seed 1)
  causal: float32[3, 3] = [[0, -10000, -10000], [0, 0, -10000], [0, 0, 0]]
  head.weight: float32[4, 5] = [[1, 5, 9, 4, 8], [2, 6, 1, 5, 9], [3, 7, 2, 6, 1], [4, 8, 3, 7, 2]]
  ${more}
  e = Gather(embedding.weight, ids)
  q = MatMul(e, query)
  t = Transpose(e) {perm=[0, 2, 1]}
  s = MatMul(q, t)
  m = Add(s, causal)
  p = Softmax(m)
  h = MatMul(p, e)
  logits = MatMul(h, head.weight)
}`);

const texts = memory("texts", {
  ids: fromNumbers("int64", [4, 3], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]),
  label: fromNumbers("int64", [4, 3], [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2]),
});
const once = { data: texts, epochs: 1, batch: 4, optimizer: "sgd" as const, learningRate: 0.1 };

describe("declareRoles", () => {
  it("declares a mask a buffer and ties a copied matrix, also in the saved file", async () => {
    const model = language();
    const messages: string[] = [];
    const before = await numbersOf(model, "causal");
    await train(model, once, { log: ({ text }) => messages.push(text) });
    expect(verify(model)).toEqual([]);
    expect(roles(model)).toEqual({ causal: "buffer", "head.weight": "tied(embedding.weight, transposed)" });
    expect(messages).toContain('"causal" is frozen: the values look like a mask or sinusoidal positions');
    expect(await numbersOf(model, "causal")).toEqual(before);
    const [embedding, head] = [await numbersOf(model, "embedding.weight"), await numbersOf(model, "head.weight")];
    expect(embedding[0]).not.toBe(1);
    expect(head).toEqual(Array.from({ length: 20 }, (_, index) => embedding[(index % 5) * 4 + Math.floor(index / 5)]));
    expect(roles(await open(await encodeToBytes(model)))).toEqual(roles(model));
  });

  it("keeps existing roles whatever the values are", async () => {
    const model = language();
    await train(model, once);
    for (const name of ["causal", "head.weight"]) {
      const tensor = model.graph.value(name)?.tensor;
      const value = model.graph.value(name);
      if (value === undefined || tensor === undefined) throw new Error(`no ${name}`);
      const dense = float32(
        tensor.dims,
        toNumbers(await tensor.read()).map((_, index) => index),
      );
      value.tensor = { ...tensor, small: dense, read: () => Promise.resolve(dense) };
    }
    const { declared } = await declareRoles(model);
    expect([...declared]).toEqual([]);
    await train(model, once);
    expect(await numbersOf(model, "causal")).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    const [embedding, head] = [await numbersOf(model, "embedding.weight"), await numbersOf(model, "head.weight")];
    expect(head[1]).toBe(embedding[4]);
  });

  it("does not make a declared parameter a buffer, and does not tie buffers", async () => {
    const model = language();
    const [causal, embedding, head] = ["causal", "embedding.weight", "head.weight"].map((name) =>
      model.graph.value(name),
    );
    if (!causal || !embedding || !head) throw new Error("values are missing");
    causal.role = { kind: "parameter" };
    for (const value of [embedding, head]) value.role = { kind: "buffer" };
    expect([...(await declareRoles(model)).declared]).toEqual([]);
  });

  it.each(["head"])("applies the selection of %s to the tied matrix", async (layer) => {
    const [chosen, excluded] = [language(), language()];
    await train(chosen, { ...once, layers: layer });
    expect(await numbersOf(chosen, "embedding.weight")).not.toEqual(await numbersOf(language(), "embedding.weight"));
    expect(await numbersOf(chosen, "query")).toEqual(await numbersOf(language(), "query"));
    await train(excluded, { ...once, except: layer });
    expect(await numbersOf(excluded, "embedding.weight")).toEqual(await numbersOf(language(), "embedding.weight"));
    expect(await numbersOf(excluded, "head.weight")).toEqual(await numbersOf(language(), "head.weight"));
    expect(await numbersOf(excluded, "query")).not.toEqual(await numbersOf(language(), "query"));
  });

  it("ties copies of different float types", async () => {
    const model = language();
    await train(model, once);
    const value = model.graph.value("embedding.weight");
    const dense = fromNumbers("float16", [5, 4], await numbersOf(model, "embedding.weight"));
    if (value?.tensor === undefined) throw new Error("no embedding");
    value.tensor = inMemory(dense);
    value.type = { type: "float16", dims: [5, 4] };
    const node = [...value.uses].find(({ node }) => node.outputs[0]?.name === "e")?.node;
    if (node === undefined) throw new Error("nothing reads it");
    const emit = emitInto(model, { before: node, by: "test" });
    model.graph.setInput(node, 0, emit.Cast([value], { to: 1 }));
    await train(model, once);
    const [embedding, head] = [await numbersOf(model, "embedding.weight"), await numbersOf(model, "head.weight")];
    expect(model.graph.value("embedding.weight")?.tensor?.type).toBe("float16");
    for (const [index, entry] of head.entries())
      expect(entry).toBeCloseTo(embedding[(index % 5) * 4 + Math.floor(index / 5)] ?? Number.NaN, 2);
  });

  it("reverts roles if training fails", async () => {
    const model = language();
    const before = structureHash(model);
    await expect(train(model, { ...once, layers: "nothing" })).rejects.toMatchObject({ code: "E_NAME" });
    expect(roles(model)).toEqual({});
    expect(structureHash(model)).toBe(before);
  });

  it("declares nothing in a model without masks and copies", async () => {
    const model = parseModel(`opset 18
graph (x: float32[batch, 4]) -> (y) {
  a: float32[4, 4] = random(seed 1)
  b: float32[4, 4] = random(seed 2)
  zeros: float32[4, 4] = zeros
  more: float32[4, 4] = zeros
  h = MatMul(x, a)
  i = MatMul(h, b)
  j = MatMul(i, zeros)
  y = MatMul(j, more)
}`);
    expect([...(await declareRoles(model)).declared]).toEqual([]);
  });
});

/** Returns an exported network: a convolution, a batch normalization in inference mode and a linear layer. */
const exported = (change: (text: string) => string = (text) => text): Model =>
  parseModel(
    change(`opset 17
graph (x: float32[batch, 2, 3, 3]) -> (y) {
  conv.weight: float32[3, 2, 1, 1] = random(seed 1)
  scale: float32[3] = [1, 2, 0.5]
  bias: float32[3] = [0, 0.1, -0.1]
  mean: float32[3] = [0.3, 0, -0.2]
  variance: float32[3] = [1, 0.5, 2]
  fc.weight: float32[27, 2] = random(seed 2)
  c = Conv(x, conv.weight)
  n = BatchNormalization(c, scale, bias, mean, variance) {momentum=0.75}
  r = Relu(n)
  f = Flatten(r)
  y = MatMul(f, fc.weight)
}`),
  );

const images = () => {
  const numbers = random(9);
  const x = float32(
    [8, 2, 3, 3],
    Array.from({ length: 144 }, () => numbers.normal(1, 2)),
  );
  const label = fromNumbers("int64", [8], [0, 1, 0, 1, 0, 1, 0, 1]);
  return { x, label };
};
const oneEpoch = () => ({ data: memory("images", images()), epochs: 1, batch: 8, optimizer: "sgd" as const });

describe("batch statistics", () => {
  it("keep the statistics of an exported network by default", async () => {
    const model = exported();
    await train(model, oneEpoch());
    expect(roles(model)).toEqual({});
    expect(await numbersOf(model, "mean")).toEqual(await numbersOf(exported(), "mean"));
  });

  it("update running statistics, which become states of the model", async () => {
    const model = exported();
    const { misses } = await train(model, { ...oneEpoch(), batchStatistics: true });
    expect(misses).toEqual([]);
    expect(roles(model)).toEqual({ mean: "state", variance: "state" });
    const kernel = await numbersOf(exported(), "conv.weight");
    const { x } = images();
    const [mean, variance] = [await numbersOf(model, "mean"), await numbersOf(model, "variance")];
    for (const channel of [0, 1, 2]) {
      const outputs = Array.from({ length: 72 }, (_, index) => {
        const [sample, position] = [Math.floor(index / 9), index % 9];
        const input = (plane: number) => x.data[(sample * 2 + plane) * 9 + position] ?? 0;
        return (kernel[2 * channel] ?? 0) * input(0) + (kernel[2 * channel + 1] ?? 0) * input(1);
      });
      const average = outputs.reduce((sum, value) => sum + value, 0) / 72;
      const spread = outputs.reduce((sum, value) => sum + (value - average) ** 2, 0) / 72;
      expect(mean[channel]).toBeCloseTo(0.75 * ([0.3, 0, -0.2][channel] ?? 0) + 0.25 * average, 5);
      expect(variance[channel]).toBeCloseTo(0.75 * ([1, 0.5, 2][channel] ?? 0) + 0.25 * spread, 5);
    }
    const reopened = await open(await encodeToBytes(model));
    await train(reopened, oneEpoch());
    expect(await numbersOf(reopened, "mean")).not.toEqual(mean);
  });

  it("resume from a checkpoint with the same bits", async () => {
    const options = { ...oneEpoch(), batch: 4, schedule: "constant" as const, batchStatistics: true };
    const [uninterrupted, halved, resumed] = [exported(), exported(), exported()];
    await train(uninterrupted, { ...options, epochs: 2 });
    const checkpoint = join(temporaryFolder(), "run");
    await train(halved, { ...options, checkpoint });
    expect(roles(await open(join(checkpoint, "last.onnx")))).toMatchObject({ mean: "state", variance: "state" });
    await expect(
      train(exported(), { ...options, epochs: 2, checkpoint, resume: true, batchStatistics: false }),
    ).rejects.toMatchObject({ code: "E_OPTION", message: expect.stringContaining("batchStatistics") });
    await train(resumed, { ...options, epochs: 2, checkpoint, resume: true });
    for (const name of ["mean", "variance", "conv.weight", "scale"])
      expect(await numbersOf(resumed, name)).toEqual(await numbersOf(uninterrupted, name));
  });

  it("update only layers that are trained", async () => {
    const model = exported();
    await train(model, { ...oneEpoch(), layers: "fc", batchStatistics: true });
    expect(await numbersOf(model, "mean")).toEqual(await numbersOf(exported(), "mean"));
  });

  it.each([
    [
      "without a normalization",
      (text: string) => text.replace(/n = .*/, "n = Relu(c)"),
      /it has no running statistics/,
      {},
    ],
    [
      "with statistics that are computed",
      (text: string) => text.replace("n = Batch", "m = Mul(mean, scale)\n n = Batch").replace("bias, mean", "bias, m"),
      /BatchNormalization "n" .*"m" is computed/,
      {},
    ],
    [
      "with statistics that are a buffer",
      (text: string) => text.replace("mean: float32[3]", "mean: float32[3] buffer"),
      /"mean" is frozen/,
      { mean: "buffer" },
    ],
    [
      "with statistics of two nodes",
      (text: string) =>
        text.replace("r = Relu(n)", "q = BatchNormalization(n, scale, bias, mean, variance)\n r = Relu(q)"),
      /shares its running statistics with 1 other nodes/,
      { mean: "state", variance: "state" },
    ],
  ])("%s: reports the reason as a miss", async (_, change, reason, remaining) => {
    const model = exported(change);
    const { misses } = await declareRoles(model, { batchStatistics: true });
    expect(misses.map(({ at, reason }) => `${at ?? ""} ${reason}`).join("\n")).toMatch(reason);
    expect(roles(model)).toEqual(remaining);
  });

  it("ignore the mode switch of dropout", async () => {
    const model = exported((text) =>
      text
        .replace("fc.weight:", "ratio: float32[] = 0.5\n training: bool[] = [0]\n fc.weight:")
        .replace("r = Relu(n)", "d = Dropout(n, ratio, training)\n r = Relu(d)"),
    );
    await declareRoles(model, { batchStatistics: true });
    expect(roles(model)).toEqual({ mean: "state", variance: "state" });
  });
});
