/** Weights in Constant nodes are weights for every technique. If nothing can be changed, the outcome states why. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import type { Outcome } from "../../../src/core/pass/pass.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import { factorize } from "../../../src/techniques/factorize/index.ts";
import { prune, remove } from "../../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";

function normal(seed: number, rows: number, columns: number): readonly number[] {
  const numbers = random(seed, "weights");
  return Array.from({ length: rows * columns }, () => Math.round(100 * numbers.normal()) / 100);
}

const fc1 = `float32[8, 6] [${normal(1, 8, 6)}]`;
const bias = "float32[8] [1, 2, 3, 4, 5, 6, 7, 8]";
const fc2 = `float32[8, 4] [${normal(2, 8, 4)}]`;
const x = float32([5, 6], normal(3, 5, 6));

const layersOfNet = `  h = Gemm "first" (x, fc1.weight, fc1.bias) {transB=1}
  a = Relu (h)
  y = MatMul "second" (a, fc2.weight)
}`;
const header = `opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {`;

const inNodes = (): Model =>
  parseModel(`${header}
  fc1.weight = Constant() {value=${fc1}}
  fc1.bias = Constant() {value=${bias}}
  fc2.weight = Constant() {value=${fc2}}
${layersOfNet}`);

const asTensors = (): Model =>
  parseModel(`${header}
  fc1.weight: ${fc1.replace(" [", " = [")}
  fc1.bias: ${bias.replace(" [", " = [")}
  fc2.weight: ${fc2.replace(" [", " = [")}
${layersOfNet}`);

async function outputs(model: Model): Promise<readonly number[]> {
  const session = await createEngine().load(model);
  const { y } = await session.run({ x });
  await session.release();
  return y === undefined ? [] : toNumbers(y);
}

const passes: readonly (readonly [string, (model: Model) => Promise<Outcome>])[] = [
  ["prune", (model) => prune(model, { amount: 0.5 })],
  ["prune globally", (model) => prune(model, { amount: 0.5, scope: "global" })],
  ["prune channels", (model) => prune(model, { structured: 0.5 })],
  ["factorize", (model) => factorize(model, { rank: 2 })],
  ["quantize weights", (model) => quantize(model, { scheme: "weights" })],
  ["quantize dynamically", (model) => quantize(model, { scheme: "dynamic" })],
  ["round weights", (model) => fakeQuantize(model, { scheme: "weights" })],
  ["round statically", (model) => fakeQuantize(model, { scheme: "static", data: memory("x", { x }) })],
  ["quantize statically", (model) => quantize(model, { scheme: "static", data: memory("x", { x }) })],
];

const reasons: readonly (readonly [string, text: string, reason: string])[] = [
  [
    "an unknown operator",
    `opset 17, somewhere 1
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {
  w: float32[6, 4] = random(seed 1)
  y = somewhere.Unheard "odd" (x, w)
}`,
    "Pith does not know this operator",
  ],
  [
    "a subgraph",
    `opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {
  c: bool[] = true
  y = If(c) {then_branch=graph then () -> (t) {
    w = Constant() {value=float32[6, 4] [${normal(1, 6, 4)}]}
    t = MatMul(x, w)
  }, else_branch=graph else () -> (e) {
    v: float32[6, 4] = random(seed 2)
    e = MatMul(x, v)
  }}
}`,
    "layers inside subgraphs are not changed: run `simplify` first, which inlines the branch that is taken",
  ],
  [
    "a subgraph that an input decides on",
    `opset 17
graph (x: float32[batch, 6], rate: int64[]) -> (y: float32[batch, 4]) {
  known: int64[] = 16000
  c = Equal(rate, known)
  y = If(c) {then_branch=graph then () -> (t) {
    w: float32[6, 4] = random(seed 1)
    t = MatMul(x, w)
  }, else_branch=graph else () -> (e) {
    v: float32[6, 4] = random(seed 2)
    e = MatMul(x, v)
  }}
}`,
    'layers inside subgraphs are not changed: run `simplify set: "rate=16000"` first, which inlines the branch that is taken',
  ],
  [
    "a subgraph that the data decides on",
    `opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 4]) {
  zero: float32[] = 0
  most = ReduceMax(x) {keepdims=0}
  c = Greater(most, zero)
  y = If(c) {then_branch=graph then () -> (t) {
    w: float32[6, 4] = random(seed 1)
    t = MatMul(x, w)
  }, else_branch=graph else () -> (e) {
    v: float32[6, 4] = random(seed 2)
    e = MatMul(x, v)
  }}
}`,
    "layers inside subgraphs are not changed",
  ],
  [
    "an added table, which is not a layer",
    `opset 17
graph (x: float32[batch, 6, 4]) -> (y: float32[batch, 6, 4]) {
  positions: float32[1, 6, 4] = random(seed 1)
  y = Add(x, positions)
}`,
    "the model has no layers with a weight",
  ],
  [
    "no weights",
    `opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 6]) {
  y = Relu(x)
}`,
    "the model has no layers with a weight",
  ],
];

describe.each(passes)("%s", (name, pass) => {
  test("handles weights in Constant nodes as stored ones", async () => {
    const [nodes, tensors] = [inNodes(), asTensors()];
    const expected = await pass(tensors);
    const outcome = await pass(nodes);
    expect(outcome.changes.length).toBeGreaterThan(0);
    expect(outcome).toEqual(expected);
    expect(verify(nodes)).toEqual([]);
    expect([...nodes.graph.nodes()].map(({ op }) => op)).not.toContain("Constant");
    expect(layers(nodes, infer(nodes)).map(({ name }) => name)).toEqual(
      layers(tensors, infer(tensors)).map(({ name }) => name),
    );
    expect(await outputs(nodes)).toEqual(await outputs(tensors));
  });

  const inSubgraphs = name.startsWith("quantize")
    ? reasons.filter(([title]) => !title.startsWith("a subgraph"))
    : reasons;
  test.each(inSubgraphs)("states why nothing changes: %s", async (_, text, reason) => {
    const model = parseModel(text);
    const { changes, misses } = await pass(model);
    expect(changes).toEqual([]);
    expect(misses.map((miss) => miss.reason)).toEqual([expect.stringContaining(reason)]);
  });
});

test.each([
  ["value_floats", "Constant() {value_floats=[1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]}"],
  ["value", "Constant() {value=float32[8] [1, 2, 3, 4, 5, 6, 7, 8]}"],
])("removes channels from a bias that is written as %s", async (_, constant) => {
  const model = parseModel(`${header}
  fc1.weight: ${fc1.replace(" [", " = [")}
  fc1.bias = ${constant}
  fc2.weight: ${fc2.replace(" [", " = [")}
${layersOfNet}`);
  await prune(model, { structured: 0.25 });
  expect(model.graph.value("fc1.bias")?.tensor?.dims).toEqual([6]);
});

describe("Constant nodes are kept", () => {
  test.each([
    ["if every layer is skipped", (model: Model) => factorize(model, { rank: 100 })],
    ["if no channel is removed", (model: Model) => prune(model, { structured: 0 })],
    ["if a layer is unknown", (model: Model) => prune(model, { amount: 0.5, layers: "fc9" }).catch(() => {})],
  ])("%s", async (_, pass) => {
    const model = inNodes();
    const before = structureHash(model);
    await pass(model);
    expect(structureHash(model)).toBe(before);
  });

  test("if they are scalars, integers, or outputs of the model", async () => {
    const model = parseModel(`opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 4], k: float32[2]) {
  w = Constant() {value=float32[6, 4] [${normal(1, 6, 4)}]}
  s = Constant() {value=float32[] 2}
  n = Constant() {value=int64[2] [-1, 4]}
  k = Constant() {value=float32[2] [1, 2]}
  h = MatMul(x, w)
  m = Mul(h, s)
  y = Reshape(m, n)
}`);
    await prune(model, { amount: 0.5 });
    const remainingConstants = [...model.graph.nodes()]
      .filter(({ op }) => op === "Constant")
      .map(({ outputs }) => outputs[0]?.name);
    expect(remainingConstants).toEqual(["s", "n", "k"]);
  });
});

test("prunes, folds and opens a file of IR 3 with weights in Constant nodes", async () => {
  const model = inNodes();
  model.header.irVersion = 3;
  await prune(model, { amount: 0.5, scope: "global", keepMasks: true });
  await remove(model);
  const again = await open(await encodeToBytes(model));
  expect(verify(again)).toEqual([]);
  const tensors = asTensors();
  await prune(tensors, { amount: 0.5, scope: "global", keepMasks: true });
  await remove(tensors);
  expect(await outputs(again)).toEqual(await outputs(tensors));
});
