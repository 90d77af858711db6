import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Solver } from "../calibrate/solver.ts";
import { customFromMask, type Importance, isPruned, prune, remove } from "./index.ts";

/** Three layers: hidden channels with magnitudes 3, 1, 2, 4 in their largest weight, then a layer with much smaller weights. */
const chain = `opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  fc1.weight: float32[4, 2] = [3, 1, 1, 0, 0, -2, -4, 4]
  fc1.bias: float32[4] = [10, 20, 30, 40]
  fc2.weight: float32[3, 4] = [0.1, 0.2, 0.3, 0.4, 0.05, 0.06, 0.07, 0.08, 0.5, 0.6, 0.7, 0.8]
  fc3.weight: float32[2, 3] = [1, 2, 3, 4, 5, 6]
  h = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  a = Relu (h)
  g = Gemm "fc2" (a, fc2.weight) {transB=1}
  y = Gemm "fc3" (g, fc3.weight) {transB=1}
}`;

async function numbers(model: Model, name: string): Promise<number[]> {
  const tensor = model.graph.value(name)?.tensor;
  return tensor === undefined ? [] : toNumbers(await tensor.read()).map((number) => Math.round(number * 1000) / 1000);
}

/** Returns operators of nodes and dimensions of tensors. */
const structureOf = (model: Model): readonly unknown[] => [
  [...model.graph.nodes()].map(({ op }) => op),
  new Map([...model.graph.values()].flatMap(({ name, tensor }) => (tensor === undefined ? [] : [[name, tensor.dims]]))),
];

const outputs = (model: Model): Record<string, number> =>
  Object.fromEntries(layers(model, infer(model)).map((layer) => [layer.name, layer.outputs]));

describe("prune with an amount", () => {
  test("sets weights to zero without leaving masks in the graph", async () => {
    const net = parseModel(chain);
    const before = structureOf(net);
    await prune(net, { amount: 0.5, layers: ["fc1", "fc2"] });
    expect(await numbers(net, "fc1.weight")).toEqual([3, 0, 0, 0, 0, -2, -4, 4]);
    expect(structureOf(net)).toEqual(before);
    const masked = parseModel(chain);
    await prune(masked, { layers: "fc3", amount: 0.5, keepMasks: true });
    await prune(masked, { amount: 0.5, layers: "fc1" });
    expect(structureOf(masked)).toEqual(before);
    expect(await numbers(masked, "fc3.weight")).toEqual([0, 0, 0, 4, 5, 6]);
  });

  test("keeps existing masks if nothing is pruned", async () => {
    const net = parseModel(chain);
    await prune(net, { layers: "fc3", amount: 0.5, keepMasks: true });
    expect((await prune(net, { structured: 0 })).changes).toEqual([]);
    expect(isPruned(net)).toBe(true);
  });

  test("prunes the same share of each selected layer by default, and keeps masks if requested", async () => {
    const net = parseModel(chain);
    const { changes, misses } = await prune(net, { amount: 0.5, layers: ["fc1", "fc2"], keepMasks: true });
    expect(changes.map(({ at, what }) => [at, what])).toEqual([
      ["fc1", "4 of 8 pruned, 4 of 8 left"],
      ["fc2", "6 of 12 pruned, 6 of 12 left"],
    ]);
    expect(misses).toEqual([]);
    expect(await numbers(net, "fc1.weight_mask")).toEqual([1, 0, 0, 0, 0, 1, 1, 1]);
    expect(verify(net)).toEqual([]);
    await remove(net);
    expect(await numbers(net, "fc1.weight")).toEqual([3, 0, 0, 0, 0, -2, -4, 4]);
  });

  test("prunes the smallest entries of all layers with scope global", async () => {
    const net = parseModel(chain);
    await prune(net, { amount: 0.5, scope: "global", keepMasks: true });
    // 13 of 26 entries are removed: the two zeros of fc1, and 11 of the 12 entries of fc2.
    expect(await numbers(net, "fc1.weight_mask")).toEqual([1, 1, 1, 0, 0, 1, 1, 1]);
    expect(await numbers(net, "fc2.weight_mask")).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(await numbers(net, "fc3.weight_mask")).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test("treats an amount of 1 as all entries, not as one entry", async () => {
    const net = parseModel(chain);
    await prune(net, { amount: 1, layers: "fc3" });
    expect(await numbers(net, "fc3.weight")).toEqual([0, 0, 0, 0, 0, 0]);
  });
});

describe("prune with structured", () => {
  test("accepts the amount as `structured` or separately", async () => {
    const [model, other] = [parseModel(chain), parseModel(chain)];
    await prune(model, { structured: 0.5, layers: "fc1" });
    await prune(other, { structured: true, amount: 0.5, layers: "fc1" });
    expect(outputs(model)).toMatchObject({ fc1: 2 });
    expect(printModel(model)).toBe(printModel(other));
  });

  test("removes the weakest channels with their biases and downstream weights", async () => {
    const net = parseModel(chain);
    const { changes, misses } = await prune(net, { amount: 0.5, structured: true, layers: "fc1" });
    expect(changes).toEqual([{ at: "fc1", what: "2 of 4 channels cut", decidedBy: "global" }]);
    expect(misses).toEqual([]);
    expect(await numbers(net, "fc1.weight")).toEqual([3, 1, -4, 4]);
    expect(await numbers(net, "fc1.bias")).toEqual([10, 40]);
    expect(await numbers(net, "fc2.weight")).toEqual([0.1, 0.4, 0.05, 0.08, 0.5, 0.8]);
    expect(net.graph.value("h")?.type?.dims?.[1]).toBe(2);
    expect(verify(net)).toEqual([]);
  });

  test("keeps channels that are outputs of the model, with a miss", async () => {
    const net = parseModel(chain);
    const { misses } = await prune(net, { amount: 0.5, structured: true });
    expect(misses.map(({ at, reason, by }) => [at, reason, by])).toEqual([
      ["fc3", "the channels cannot be removed: they are an output of the model", "y"],
    ]);
    expect(outputs(net)).toEqual({ fc1: 2, fc2: 1, fc3: 2 });
  });

  test("keeps normalized channels and names the option that allows to remove them", async () => {
    const net = parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  a.weight: float32[2, 4] = random(seed 1)
  b.weight: float32[4, 4] = random(seed 2)
  c.weight: float32[4, 2] = random(seed 3)
  scale: float32[4] = ones
  h = MatMul "a" (x, a.weight)
  i = LayerNormalization "first" (h, scale)
  j = MatMul "b" (i, b.weight)
  k = LayerNormalization "second" (j, scale)
  y = MatMul "c" (k, c.weight)
}`);
    const { misses } = await prune(net.clone(), { structured: 0.5, except: "c" });
    const reason =
      "the channels cannot be removed: LayerNormalization normalizes over this axis; `prune throughNorms` allows it";
    expect(misses).toMatchObject([
      { at: "a", reason, by: 'LayerNormalization "first"' },
      { at: "b", reason, by: 'LayerNormalization "second"' },
    ]);
    const { changes } = await prune(net, { structured: 0.5, except: "c", throughNorms: true });
    expect(changes.map(({ at }) => at)).toEqual(["a", "b"]);
  });

  test("names the option also if another operator prevents the removal until the graph is rewritten", async () => {
    const net = parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  a.weight: float32[2, 4] = random(seed 1)
  b.weight: float32[4, 2] = random(seed 2)
  scale: float32[4] = ones
  h = MatMul "a" (x, a.weight)
  size = Shape (h)
  i = Reshape (h, size)
  j = LayerNormalization (i, scale)
  y = MatMul "b" (j, b.weight)
}`);
    const { misses } = await prune(net.clone(), { structured: 0.5, layers: "a" });
    const reason = "the channels cannot be removed: reports dimensions; `prune throughNorms` allows it";
    expect(misses).toMatchObject([{ at: "a", reason }]);
    const { changes } = await prune(net, { structured: 0.5, layers: "a", throughNorms: true });
    expect(changes.map(({ at }) => at)).toEqual(["a"]);
  });

  const residual = (output: string) =>
    parseModel(`opset 17
graph (ids: int64[batch, 3]) -> (y: float32[batch, 3, 2]${output}) {
  table: float32[9, 4] = random(seed 1)
  up.weight: float32[4, 8] = random(seed 2)
  down.weight: float32[8, 4] = random(seed 3)
  head.weight: float32[4, 2] = random(seed 4)
  scale: float32[4] = ones
  e = Gather "embed" (table, ids)
  n = LayerNormalization "norm" (e, scale)
  h = MatMul "up" (n, up.weight)
  r = Relu (h)
  d = MatMul "down" (r, down.weight)
  z = Add (e, d)
  y = MatMul "head" (z, head.weight)
}`);

  test("gives an embedding table the reason of the channels that its columns belong to", async () => {
    const { misses } = await prune(residual(""), { structured: 0.5 });
    const reason =
      "the channels cannot be removed: LayerNormalization normalizes over this axis; `prune throughNorms` allows it";
    expect(misses.filter(({ at }) => at !== "head")).toMatchObject([
      { at: "down", reason },
      { at: "embed", reason },
    ]);
    const { changes } = await prune(residual(""), { structured: 0.5, throughNorms: true });
    expect(changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["down", "up"]));
    const kept = await prune(residual(""), { structured: 0.5, throughNorms: true, except: "Gather" });
    expect(kept.changes.map(({ at }) => at)).toEqual(["up"]);
  });

  test("does not advise to prune through norms if an output keeps the channels", async () => {
    const { misses } = await prune(residual(", n: float32[batch, 3, 4]"), { structured: 0.5 });
    expect(misses.map(({ reason }) => reason).join()).not.toContain("throughNorms");
  });

  test("keeps a single channel, with a miss", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  fc1.weight: float32[1, 2] = [3, 1]
  fc2.weight: float32[2, 1] = [1, 2]
  h = Gemm "fc1" (x, fc1.weight) {transB=1}
  y = Gemm "fc2" (h, fc2.weight) {transB=1}
}`);
    const { changes, misses } = await prune(net, { structured: 0.5, layers: "fc1" });
    expect(changes).toEqual([]);
    expect(misses).toEqual([
      {
        at: "fc1",
        reason: "the channels cannot be removed: they can only be removed together, which would empty axis 0",
        by: "fc1.weight",
      },
    ]);
  });

  test("scales scores by layer with scope global, so small weights empty no layer", async () => {
    const net = parseModel(chain);
    await prune(net, { amount: 3 / 7, structured: true, scope: "global" });
    // Mean squares are 10, 1, 4, 32 (mean 11.75) in fc1 and 0.3, 0.0174, 1.74 (mean 0.6858) in fc2.
    // Relative to the means, the lowest are the second channel of fc2, then the second and third of fc1.
    expect(outputs(net)).toEqual({ fc1: 2, fc2: 2, fc3: 2 });
    expect(await numbers(net, "fc1.bias")).toEqual([10, 40]);
  });

  test("keeps one channel of each layer for an amount of 1", async () => {
    for (const scope of ["uniform", "global", "isomorphic"] as const) {
      const net = parseModel(chain);
      await prune(net, { amount: 1, structured: true, scope });
      expect(outputs(net)).toEqual({ fc1: 1, fc2: 1, fc3: 2 });
      expect(await numbers(net, "fc1.bias")).toEqual([40]);
    }
  });

  test("counts masked weights as zeros, and removes channels of masks with their weights", async () => {
    const net = parseModel(chain);
    // All weights of the largest channel are masked, so it is removed first.
    await customFromMask(net, { layers: "fc1", mask: float32([4, 2], [1, 1, 1, 1, 1, 1, 0, 0]) });
    await prune(net, { amount: 0.25, structured: true, layers: "fc1", keepMasks: true });
    expect(await numbers(net, "fc1.weight_mask")).toEqual([1, 1, 1, 1, 1, 1]);
    expect(await numbers(net, "fc1.weight_orig")).toEqual([3, 1, 1, 0, 0, -2]);
    expect(await numbers(net, "fc1.bias")).toEqual([10, 20, 30]);
    expect(verify(net)).toEqual([]);
  });

  test("rejects `keepMasks` for a model without masks and changes nothing", async () => {
    const net = parseModel(chain);
    const before = printModel(net);
    await expect(prune(net, { structured: 0.5, keepMasks: true })).rejects.toMatchObject({
      code: "E_OPTION",
      message: "prune: `keepMasks` with `structured`: the model has no masks to keep.",
    });
    expect(printModel(net)).toBe(before);
  });

  test("keeps the channels of coupled layers if one of the layers is excluded", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  a.weight: float32[2, 4] = [1, 2, 3, 4, 5, 6, 7, 8]
  b.weight: float32[2, 4] = [8, 7, 6, 5, 4, 3, 2, 1]
  head.weight: float32[4, 2] = [1, 2, 3, 4, 5, 6, 7, 8]
  l = MatMul (x, a.weight)
  r = MatMul (x, b.weight)
  s = Add (l, r)
  y = MatMul (s, head.weight)
}`);
    infer(net);
    const before = printModel(net);
    const { changes, misses } = await prune(net, { amount: 0.5, structured: true, except: "b" });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
      ["a", 'the channels can only be removed together with those of "b", which is excluded'],
      ["head", "the channels cannot be removed: they are an output of the model"],
    ]);
    expect(printModel(net)).toBe(before);
    const cut = await prune(net, { amount: 0.5, structured: true, layers: "a" });
    expect(cut.changes.map(({ at }) => at)).toEqual(["a", "b"]);
    // Scores are 26, 40, 58, 80 (mean 51) in a and 80, 58, 40, 26 in b, so the sums of the middle channels are the lowest.
    expect(await numbers(net, "head.weight")).toEqual([1, 2, 7, 8]);
  });

  test.each(["MatMul", "/b/*", "b"])("keeps the channels of a layer that `except` names as %s", async (except) => {
    const net = parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  a.weight: float32[4, 2] = random(seed 1)
  b.weight: float32[2, 4] = random(seed 2)
  c.weight: float32[2, 4] = random(seed 3)
  l = Gemm "/a/fc" (x, a.weight) {transB=1}
  r = MatMul "/b/fc" (x, b.weight)
  s = Add (l, r)
  y = Gemm "/c/fc" (s, c.weight) {transB=1}
}`);
    const { changes, misses } = await prune(net, { structured: 0.5, except });
    expect(changes).toEqual([]);
    expect(misses.map(({ at }) => at)).toEqual(["a", "c"]);
  });

  test("reports units of several channels, and an amount that rounds to no unit", async () => {
    const heads = (): Model =>
      parseModel(`opset 21
graph (x: float32[batch, 5, 8]) -> (y: float32[batch, 5, 8]) {
  v.weight: float32[8, 8] = random(seed 1)
  o.weight: float32[8, 8] = random(seed 2)
  split: int64[4] = [0, 5, 2, 4]
  joined: int64[3] = [0, 5, 8]
  v = MatMul (x, v.weight)
  s = Reshape (v, split)
  t = Transpose (s) {perm=[0, 2, 1, 3]}
  p = Softmax (t) {axis=-1}
  u = Transpose (p) {perm=[0, 2, 1, 3]}
  j = Reshape (u, joined)
  y = MatMul (j, o.weight)
}`);
    const half = await prune(heads(), { amount: 0.5, structured: true });
    expect(half.changes).toMatchObject([{ at: "v", what: "4 of 8 channels cut (1 of 2 units of 4 channels)" }]);
    const few = await prune(heads(), { amount: 0.2, structured: true, layers: "v" });
    expect(few.changes).toEqual([]);
    expect(few.misses).toMatchObject([{ at: "v", reason: "20 % of its 2 units of 4 channels rounds to 0" }]);
  });

  /** Adds four channels, zero-padded to eight, to a layer of eight channels whose middle four are small. */
  const padded = (end = "y = Conv (s, out.weight)"): Model =>
    parseModel(`opset 17
graph (x: float32[batch, 1, 4, 4]) -> (y: float32[batch, 2, 4, 4]) {
  narrow.weight: float32[4, 1, 1, 1] = [4, 3, 5, 6]
  wide.weight: float32[8, 1, 1, 1] = [9, 7, 0.1, 0.2, 0.3, 0.4, 6, 8]
  out.weight: float32[2, 8, 1, 1] = random(seed 3)
  pads: int64[8] = [0, 2, 0, 0, 0, 2, 0, 0]
  n = Conv (x, narrow.weight)
  p = Pad (n, pads)
  w = Conv (x, wide.weight)
  s = Add (p, w)
  ${end}
}`);

  test("removes equal shares of coupled layers if one has channels that the other lacks", async () => {
    for (const [amount, cut] of [
      [0.5, ["2 of 4 channels cut", "4 of 8 channels cut"]],
      [0.25, ["1 of 4 channels cut", "2 of 8 channels cut"]],
    ] as const) {
      const { changes } = await prune(padded(), { amount, structured: true });
      expect(changes.map(({ at, what }) => [at, what])).toEqual([
        ["narrow", cut[0]],
        ["wide", cut[1]],
      ]);
    }
    // The smallest of each kind are removed: 3 and 4 in the narrow layer, 7 and 6 in the other.
    const model = padded();
    await prune(model, { amount: 0.5, structured: true });
    expect(await numbers(model, "narrow.weight")).toEqual([5, 6]);
    expect(await numbers(model, "wide.weight")).toEqual([9, 0.3, 0.4, 8]);
  });

  test("removes the lowest scores of a group with scope global, and reports each layer's number", async () => {
    const end = `last.weight: float32[2, 2, 1, 1] = random(seed 4)
  h = Conv "out" (s, out.weight)
  y = Conv "last" (h, last.weight)`;
    const { changes } = await prune(padded(end), { amount: 0.4, structured: true, scope: "global" });
    expect(changes.find(({ at }) => at === "narrow")?.what).toMatch(
      /^3 of 4 channels cut \(\d of 8 in its group of coupled layers\)$/,
    );
    const alone = await prune(padded(), { amount: 0.5, structured: true, scope: "global" });
    expect(alone.changes.find(({ at }) => at === "narrow")?.what).toBe("2 of 4 channels cut");
  });

  /** A layer without a bias as exporters write it: the bias is zeros, expanded to the number of channels of the weight. */
  const counted = `opset 21
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 2, 4, 4]) {
  c1.weight: float32[4, 2, 1, 1] = [3, 1, 1, 0, 0, -2, -4, 4]
  c2.weight: float32[2, 4, 1, 1] = [1, 2, 3, 4, 5, 6, 7, 8]
  zero: float32[] = 0
  n = Shape (c1.weight) {start=0, end=1}
  none = Expand (zero, n)
  bias = CastLike (none, x)
  h = Conv "c1" (x, c1.weight, bias)
  y = Conv "c2" (h, c2.weight)
}`;

  test("shortens a bias that is expanded to the number of channels", async () => {
    const net = parseModel(counted);
    const { changes } = await prune(net, { amount: 0.5, structured: true });
    expect(changes.map(({ at, what }) => [at, what])).toEqual([["c1", "2 of 4 channels cut"]]);
    expect(verify(net)).toEqual([]);
    const bias = net.graph.value("bias");
    expect(bias === undefined ? undefined : infer(net).operand(bias)?.dims).toEqual([2]);
  });

  test("does not change the computation of sizes if no channel is removed", async () => {
    const net = parseModel(counted);
    infer(net);
    const before = printModel(net);
    await prune(net, { amount: 0, structured: true });
    await prune(net, { amount: 0.5, structured: true, layers: "c2" });
    expect(printModel(net)).toBe(before);
  });

  test("keeps channels if a node reads their number with sizes unknown before the run", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2, height, 4]) -> (y: float32[batch, 2, height, 4], n: int64[2]) {
  c1.weight: float32[4, 2, 1, 1] = [3, 1, 1, 0, 0, -2, -4, 4]
  c2.weight: float32[2, 4, 1, 1] = [1, 2, 3, 4, 5, 6, 7, 8]
  h = Conv "c1" (x, c1.weight)
  y = Conv "c2" (h, c2.weight)
  n = Shape (h) {start=1, end=3}
}`);
    infer(net);
    const before = printModel(net);
    const { changes, misses } = await prune(net, { amount: 0.5, structured: true, layers: "c1" });
    expect([changes, misses.map(({ reason }) => reason)]).toEqual([
      [],
      [expect.stringMatching(/^the channels cannot be removed: reports dimensions/)],
    ]);
    expect(printModel(net)).toBe(before);
  });

  test("removes channels if a node reads only sizes of other axes", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2, height, 4]) -> (y: float32[batch, 2, height, 4], n: int64[2]) {
  c1.weight: float32[4, 2, 1, 1] = [3, 1, 1, 0, 0, -2, -4, 4]
  c2.weight: float32[2, 4, 1, 1] = [1, 2, 3, 4, 5, 6, 7, 8]
  h = Conv "c1" (x, c1.weight)
  y = Conv "c2" (h, c2.weight)
  n = Shape (h) {start=-2}
}`);
    const { changes } = await prune(net, { amount: 0.5, structured: true, layers: "c1" });
    expect(changes.map(({ at, what }) => [at, what])).toEqual([["c1", "2 of 4 channels cut"]]);
    expect(verify(net)).toEqual([]);
  });

  test("an amount of 0 changes nothing", async () => {
    const net = parseModel(chain);
    infer(net);
    const before = printModel(net);
    expect((await prune(net, { amount: 0, structured: true })).changes).toEqual([]);
    expect(printModel(net)).toBe(before);
  });
});

test("prune rejects amounts outside of 0 to 1, unknown scopes and unknown layers", async () => {
  const failure = (options: Parameters<typeof prune>[1]): Promise<string> =>
    prune(parseModel(chain), options).then(
      () => "none",
      (error: unknown) => (error instanceof PithError ? `${error.code} ${error.message}` : "other"),
    );
  expect(await failure({ amount: 1.5 })).toMatch(/^E_OPTION prune: "amount": takes a number from 0 to 1/);
  expect(await failure({ amount: -1, structured: true })).toMatch(/^E_OPTION/);
  expect(await failure({ structured: 1.5 })).toMatch(/^E_OPTION .*"structured"/);
  expect(await failure({ structured: true })).toMatch(/^E_OPTION prune: "amount": is required/);
  expect(await failure({ amount: 0.5, structured: 0.3 })).toMatch(/^E_OPTION prune: "amount": is given twice/);
  expect(await failure({ amount: 0.5, scope: "local" as "global" })).toMatch(/^E_OPTION .*"scope"/);
  expect(await failure({ amount: 0.5, layers: "fc7" })).toMatch(/^E_NAME/);
  expect(await failure({ amount: 0.5, structured: true, except: "fc7" })).toMatch(/^E_NAME/);
});

test("prune changes nothing for an amount of 0, and rejects a path as model", async () => {
  const model = parseModel(`opset 17
graph (x: float32[1, 2]) -> (y: float32[1, 2]) {
  fc.weight: float32[2, 2] = [[1, 2], [2, 3]]
  y = MatMul(x, fc.weight)
}`);
  expect(await prune(model, { amount: 0 })).toMatchObject({
    changes: [],
    misses: [{ reason: "an amount of 0 prunes nothing" }],
  });
  await expect(prune("model.onnx" as never, { amount: 0.5 })).rejects.toMatchObject({
    code: "E_OPTION",
    message: "prune takes a model, as open() gives it, got string.",
  });
});

test("prune changes nothing if the number of weights rounds to 0 or to all", async () => {
  for (const options of [{ amount: 0.01 }, { amount: 0.01, pattern: "rows" }]) {
    const model = parseModel(chain);
    const { changes, misses } = await prune(model, options);
    expect(changes).toEqual([]);
    const reason = "the number of weights to remove rounds to 0, or is all of them";
    expect(misses).toMatchObject(["fc1", "fc2", "fc3"].map((at) => ({ at, reason })));
  }
});

test("prune changes nothing if weights to remove are 0 already, with a miss per layer", async () => {
  const byValue: Importance = { id: "by value", scores: ({ matrices }) => matrices() };
  const rewriting: Solver = {
    id: "rewriting",
    prune: (weights, kept, { pattern, amount }) => ({ weights, kept: pattern.choose(weights, kept, amount) }),
  };
  for (const options of [
    { amount: 0.5 },
    { amount: 0.5, scope: "global" },
    { amount: 0.5, importance: byValue },
    { amount: 0.5, solver: rewriting },
    { pattern: "1:2" },
  ] as const) {
    const model = parseModel(chain);
    expect((await prune(model, { ...options, except: "fc3" })).changes).toHaveLength(2);
    const once = printModel(model);
    const { changes, misses } = await prune(model, { ...options, except: "fc3" });
    expect(changes).toEqual([]);
    const reason = "the weights to remove are already 0, because zeros in the file count; use a larger amount";
    expect(misses).toMatchObject(["fc1", "fc2"].map((at) => ({ at, reason })));
    expect(printModel(model)).toBe(once);
    expect((await prune(model, { amount: 0.75, except: "fc3" })).changes).toHaveLength(2);
    // With masks, an amount counts the remaining weights only.
    await prune(model, { amount: 0.5, except: "fc3", keepMasks: true });
    expect((await prune(model, { amount: 0.5, except: "fc3" })).changes).toHaveLength(2);
  }
});

test("prune treats a stack of matrices as one layer and skips frequencies of positions", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 2, 1, 2], position: float32[n, 1, 3]) -> (y, angles) {
  experts: float32[2, 2, 2] = [[[1, 8], [3, 7]], [[2, 6], [4, 5]]]
  frequency: float32[1, 4, 1] = [1, 2, 3, 4]
  y = MatMul(x, experts)
  angles = MatMul(frequency, position)
}`);
  const { changes } = await prune(model, { amount: 0.5 });
  expect(changes).toMatchObject([{ at: "y", what: "4 of 8 pruned, 4 of 8 left" }]);
  expect(await numbers(model, "experts")).toEqual([0, 8, 0, 7, 0, 6, 0, 5]);
  expect(await numbers(model, "frequency")).toEqual([1, 2, 3, 4]);
});

test("prune skips a layer that contains NaN and prunes the others", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  fc1.weight: float32[2, 2] = [1, 2, 3, 4]
  fc2.weight: float32[2, 2] = [nan, 1, 2, 3]
  h = MatMul(x, fc1.weight)
  y = MatMul(h, fc2.weight)
}`);
  expect(await prune(model, { amount: 0.5 })).toMatchObject({
    changes: [{ at: "fc1", what: "2 of 4 pruned, 2 of 4 left" }],
    misses: [{ at: "fc2", reason: "its weight holds NaN" }],
  });
});

test.each(["uniform", "global"])(
  "the scope %s skips a layer that contains infinity and prunes the others",
  async (scope) => {
    const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  fc1.weight: float32[2, 2] = [1, 2, 3, 4]
  fc2.weight: float32[2, 2] = [inf, 1, 2, 3]
  h = MatMul(x, fc1.weight)
  y = MatMul(h, fc2.weight)
}`);
    expect(await prune(model, { amount: 0.5, scope })).toMatchObject({
      changes: [{ at: "fc1", what: "2 of 4 pruned, 2 of 4 left" }],
      misses: [{ at: "fc2", reason: "its weight holds infinity" }],
    });
  },
);

describe("the warning to quantize last", () => {
  const warned = async (text: string): Promise<boolean> => {
    const ids: string[] = [];
    await prune(parseModel(text), { structured: 0.5 }, { log: ({ id }) => ids.push(id) });
    return ids.includes("order");
  };
  const linear = (weight: string) => `opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  ${weight}
  h = MatMul "fc1" (x, w)
  a = Relu (h)
  y = MatMul "fc2" (a, w)
}`;

  test("is printed if all weights are quantized", async () => {
    const codes = "c: int8[2, 2] = [1, 2, 3, 4]\n  s: float32[] = 0.5\n  w = DequantizeLinear (c, s)";
    expect(await warned(linear(codes))).toBe(true);
  });

  test.each([
    ["float weights are stored in Constant nodes", linear("w = Constant () {value=float32[2, 2] [1, 2, 3, 4]}")],
    ["the model has no layers", "opset 21\ngraph (x: float32[batch, 2]) -> (y) {\n  y = Relu (x)\n}"],
  ])("is not printed if %s", async (_, text) => {
    expect(await warned(text)).toBe(false);
  });
});
