import { describe, expect, test } from "vitest";
import { topology } from "../../../test/zoo/topologies.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { parseModel, printModel, printNode } from "../graph/text.ts";
import { verify } from "../graph/verify.ts";
import { toNumbers } from "../tensor/convert.ts";
import { channelGroups, freeUnits, type Group } from "./channels.ts";
import { infer } from "./infer.ts";
import { removeChannels, whyNotRemovable } from "./remove-channels.ts";

const graph = (inputs: string, outputs: string, lines: string, head = "opset 21"): Model =>
  parseModel(`${head}\ngraph (${inputs}) -> (${outputs}) {\n${lines}\n}`);

const groupsOf = (model: Model): readonly Group[] => channelGroups(model, infer(model));

/** Formats each group as "a+b 8": layers and number of units, with "(6)" if only 6 are removable. */
function summary(model: Model): string[] {
  return groupsOf(model).map((group) => {
    const names = group.layers.map((layer) => layer.name).join("+");
    const free = freeUnits(group).length;
    return `${names} ${group.units}${free === group.units ? "" : ` (${free})`}`;
  });
}

function reasons(model: Model, layer: string): string[] {
  const group = groupsOf(model).find(({ layers }) => layers.some(({ name }) => name === layer));
  return [...new Set([...(group?.refused.values() ?? [])].map(({ reason, at }) => `${at}: ${reason}`))];
}

function groupOf(model: Model, layer: string): Group {
  const group = groupsOf(model).find(({ layers }) => layers.some(({ name }) => name === layer));
  if (group === undefined) throw new Error(`no group of "${layer}"`);
  return group;
}

const units = (group: Group, value: string, axis: number): number[] | undefined => {
  const slice = group.slices.find((candidate) => candidate.value.name === value && candidate.axis === axis);
  return slice === undefined ? undefined : [...slice.unitOf];
};

async function numbers(model: Model, name: string): Promise<number[]> {
  const tensor = model.graph.value(name)?.tensor;
  return tensor === undefined ? [] : toNumbers(await tensor.read());
}

test.each([
  ["Gather of the height", "o = Gather(s, two)", "h 8"],
  ["Gather of the channels", "o = Gather(s, one)", "h 8 (0)"],
  ["Gather of the last two sizes, of which the width is read", "p = Gather(s, ends)\n  o = Slice(p, one, two)", "h 8"],
  ["Slice of height and width", "p = Slice(s, two, four)\n  o = Mul(p, two)", "h 8"],
  ["Slice of batch and channels", "o = Slice(s, zero, two)", "h 8 (0)"],
  ["Cast, then Slice", "f = Cast(s) {to=1}\n  o = Slice(f, two, four)", "h 8"],
  ["Concat with other sizes", "p = Slice(s, two, four)\n  o = Concat(one, p) {axis=0}", "h 8"],
  ["Concat of all sizes", "o = Concat(s, one) {axis=0}", "h 8 (0)"],
  ["ReduceProd of all sizes", "o = ReduceProd(s)", "h 8 (0)"],
  ["size of a Reshape", "o = Reshape(h, s)", "h 8 (0)"],
])("channels can be removed unless their number is read: %s", (_, nodes, expected) => {
  const lines = `  a: float32[8, 3, 1, 1] = zeros
  b: float32[2, 8, 1, 1] = zeros
  zero: int64[1] = [0]
  one: int64[1] = [1]
  two: int64[1] = [2]
  four: int64[1] = [4]
  ends: int64[2] = [2, 3]
  h = Conv(x, a)
  s = Shape(h)
  ${nodes}
  y = Conv(h, b)`;
  expect(summary(graph("x: float32[n, 3, height, width]", "y, o", lines))[0]).toBe(expected);
});

describe("channelGroups", () => {
  test("links a layer's rows, bias, normalization, mask and scales with its readers' columns", () => {
    const model = graph(
      "x: float32[batch, 3, 4, 4]",
      "y",
      `  c.weight_orig: float32[2, 3, 1, 1] parameter = random(seed 1)
  c.weight_mask: float32[2, 3, 1, 1] mask = ones
  c.bias: float32[2] = zeros
  gamma: float32[2] = ones
  beta: float32[2] = ones
  mean: float32[2] = ones
  variance: float32[2] = ones
  d.weight_quantized: int8[4, 2, 1, 1] = [1, 2, 3, 4, 5, 6, 7, 8]
  d.scale: float32[4] = ones
  c.weight = Mul (c.weight_orig, c.weight_mask)
  h = Conv "c" (x, c.weight, c.bias)
  n = BatchNormalization (h, gamma, beta, mean, variance)
  d.weight = DequantizeLinear (d.weight_quantized, d.scale) {axis=0}
  g = Conv "d" (n, d.weight)
  e.weight: float32[1, 4, 1, 1] = ones
  y = Conv "e" (g, e.weight)`,
    );
    expect(summary(model)).toEqual(["c 2", "d 4", "e 1 (0)"]);
    const stored = (layer: string): string[] =>
      groupOf(model, layer)
        .slices.filter(({ value }) => value.tensor !== undefined)
        .map(({ value, axis }) => `${value.name} ${axis}`)
        .sort();
    expect(stored("c")).toEqual(
      [
        "beta 0",
        "c.bias 0",
        "c.weight_mask 0",
        "c.weight_orig 0",
        "d.weight_quantized 1",
        "gamma 0",
        "mean 0",
        "variance 0",
      ].sort(),
    );
    expect(stored("d")).toEqual(["d.scale 0", "d.weight_quantized 0", "e.weight 1"]);
  });

  test("links all layers that write into a residual sum", () => {
    const model = graph(
      "x: float32[batch, 4]",
      "y",
      `  a.weight: float32[4, 6] = random(seed 1)
  b.weight: float32[6, 6] = random(seed 2)
  c.weight: float32[6, 2] = random(seed 3)
  h = MatMul (x, a.weight)
  g = MatMul (h, b.weight)
  s = Add (h, g)
  y = MatMul (s, c.weight)`,
    );
    expect(summary(model)).toEqual(["a+b 6", "c 2 (0)"]);
    const group = groupOf(model, "a");
    for (const axis of [0, 1]) expect(units(group, "b.weight", axis)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("links a channel with all of its columns after flattening", () => {
    const model = graph(
      "x: float32[batch, 1, 2, 3]",
      "y",
      `  c.weight: float32[2, 1, 1, 1] = ones
  fc.weight: float32[1, 12] = ones
  h = Conv (x, c.weight)
  f = Flatten (h)
  y = Gemm (f, fc.weight) {transB=1}`,
    );
    expect(units(groupOf(model, "c"), "fc.weight", 1)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    // Height and width are not channels.
    expect(units(groupOf(model, "c"), "h", 2)).toBeUndefined();
  });

  test("links a layer with the channels of a flattened image added to its outputs", () => {
    const model = graph(
      "x: float32[batch, 1, 1, 2]",
      "y",
      `  c.weight: float32[2, 1, 1, 1] = ones
  fc.weight: float32[4, 4] = ones
  head.weight: float32[4, 1] = ones
  h = Conv (x, c.weight)
  f = Flatten (h)
  g = MatMul (f, fc.weight)
  s = Add (f, g)
  y = MatMul (s, head.weight)`,
    );
    expect(summary(model)).toEqual(["c+fc 2", "head 1 (0)"]);
  });

  describe("channelGroups on an axis that a reshape splits", () => {
    const parted = (behind: string): Model =>
      graph(
        "x: float32[batch, 3]",
        "y",
        `  fc.weight: float32[3, 8] = random(seed 1)
  shape: int64[3] = [-1, 2, 4]
  head.weight: float32[4, 1] = ones
  one: int64[1] = [1]
  h = MatMul (x, fc.weight)
  heads = Reshape (h, shape)
${behind}`,
      );

    test("makes a unit of each head if the heads are reduced later", () => {
      const model = parted("  m = MatMul (heads, head.weight)\n  y = ReduceSum (m, one)");
      expect(units(groupOf(model, "fc"), "fc.weight", 1)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    });

    test("makes a unit of equal positions in all heads if heads are an output", () => {
      const model = parted("  y = MatMul (heads, head.weight)");
      expect(units(groupOf(model, "fc"), "fc.weight", 1)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    });

    test("makes a unit of each head and gives the reason if nothing is removable", () => {
      const model = parted("  m = MatMul (heads, head.weight)\n  y = Identity (heads)");
      const group = groupOf(model, "fc");
      expect(units(group, "fc.weight", 1)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
      expect([...group.refused.values()].map(({ reason }) => reason)).toEqual(
        Array(2).fill("they are an output of the model"),
      );
    });

    test("makes a unit of each head with its queries, keys and values", () => {
      const model = parseModel(`opset 17
graph (x: float32[batch, 5, 8]) -> (y: float32[batch, 5, 4]) {
  qkv.weight: float32[8, 24] = random(seed 1)
  out.weight: float32[8, 4] = random(seed 2)
  parts: int64[5] = [0, 5, 3, 2, 4]
  whole: int64[3] = [0, 5, 8]
  first: int64[] = 0
  second: int64[] = 1
  third: int64[] = 2
  h = MatMul (x, qkv.weight)
  all = Reshape (h, parts)
  moved = Transpose (all) {perm=[2, 0, 3, 1, 4]}
  q = Gather (moved, first) {axis=0}
  k = Gather (moved, second) {axis=0}
  v = Gather (moved, third) {axis=0}
  kt = Transpose (k) {perm=[0, 1, 3, 2]}
  scores = MatMul (q, kt)
  shares = Softmax (scores)
  read = MatMul (shares, v)
  back = Transpose (read) {perm=[0, 2, 1, 3]}
  merged = Reshape (back, whole)
  y = MatMul (merged, out.weight)
}`);
      const group = groupOf(model, "qkv");
      expect(units(group, "qkv.weight", 1)).toEqual(Array(3).fill([0, 0, 0, 0, 1, 1, 1, 1]).flat());
      expect(units(group, "out.weight", 0)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
      expect(freeUnits(group)).toEqual([0, 1]);
    });

    test("makes a unit of each pair of channels of a channel shuffle", () => {
      const model = graph(
        "x: float32[batch, 3, 4, 4]",
        "y",
        `  left.weight: float32[3, 3, 1, 1] = random(seed 1)
  right.weight: float32[3, 3, 1, 1] = random(seed 2)
  next.weight: float32[2, 6, 1, 1] = random(seed 3)
  parted: int64[5] = [0, 2, 3, 4, 4]
  merged: int64[4] = [0, 6, 4, 4]
  a = Conv (x, left.weight)
  b = Conv (x, right.weight)
  both = Concat (a, b) {axis=1}
  p = Reshape (both, parted)
  t = Transpose (p) {perm=[0, 2, 1, 3, 4]}
  m = Reshape (t, merged)
  y = Conv (m, next.weight)`,
      );
      const group = groupOf(model, "left");
      expect(group.layers.map(({ name }) => name)).toEqual(["left", "right"]);
      expect(units(group, "next.weight", 1)).toEqual([0, 0, 1, 1, 2, 2]);
      expect(freeUnits(group)).toEqual([0, 1, 2]);
    });
  });

  describe("channelGroups on query heads that share keys and values", () => {
    /** Unit of each column if keys are repeated in a row: three query heads read one key head. */
    const heads = [0, 1, 2].flatMap((head) => Array<number>(4).fill(head));

    test("groups query heads with the key head that they share", () => {
      const model = parseModel(topology("grouped-query").text);
      expect(summary(model)).toEqual(["q+k+v 2", "o 8 (0)"]);
      expect(units(groupOf(model, "q"), "q.weight", 1)).toEqual([...Array(12).fill(0), ...Array(12).fill(1)]);
    });

    test("groups equal positions within each key head if a cache stores keys and values", () => {
      const model = parseModel(topology("grouped-query-cache").text);
      expect(summary(model)).toEqual(["q 3", "k 2 (0)", "v 2 (0)", "o 8 (0)"]);
      const group = groupOf(model, "q");
      expect(units(group, "q.weight", 1)).toEqual([...heads, ...heads]);
      expect(units(group, "o.weight", 0)).toEqual([...heads, ...heads]);
      expect(units(group, "kr", 2)).toEqual([0, 1, 2]);
      expect(reasons(model, "k")).toEqual(["keys: they are an output of the model"]);
      expect(reasons(model, "v")).toEqual(["values: they are an output of the model"]);
    });

    test("allows a cut that shrinks the key and value repetition and leaves the cache unchanged", async () => {
      const model = parseModel(topology("grouped-query-cache").text);
      expect(await removeChannels(model, [{ group: groupOf(model, "q"), units: [1] }])).not.toBeInstanceOf(Miss);
      expect(verify(model)).toEqual([]);
      expect(await numbers(model, "repeats")).toEqual([1, 1, 2, 1, 1]);
      expect(await numbers(model, "queryHeads")).toEqual([0, 0, 4, 4]);
      expect(await numbers(model, "sixHeads")).toEqual([0, 4, -1, 4]);
      expect(await numbers(model, "keyHeads")).toEqual([0, 0, 2, 4]);
      expect(model.graph.outputs.map(({ type }) => type?.dims?.[1])).toEqual([3, 2, 2]);
    });

    test("refuses heads if a cache stores the repeated keys", () => {
      const { text } = topology("grouped-query-cache");
      const [before, after] = ["keys: float32[batch, 2, total, 4]", "k6: float32[batch, 6, total, 4]"];
      const model = parseModel(text.replace(before, after));
      expect(summary(model).slice(0, 1)).toEqual(["q+k+v 2 (0)"]);
      expect(reasons(model, "q")).toEqual(["k6: they are an output of the model"]);
    });
  });

  test("links a channel with all pixels of its block, for either block order", () => {
    const model = parseModel(topology("pixel-shuffle").text);
    expect(summary(model)).toEqual(["c1 5", "c2 4", "c3 3", "c4 2 (0)"]);
    expect(units(groupOf(model, "c1"), "c2.weight", 1)).toEqual(Array(4).fill([0, 1, 2, 3, 4]).flat());
    expect(units(groupOf(model, "c2"), "c2.weight", 0)).toEqual(Array(4).fill([0, 1, 2, 3]).flat());
    expect(units(groupOf(model, "c3"), "c3.weight", 0)).toEqual([0, 1, 2].flatMap((channel) => Array(4).fill(channel)));
  });

  test("links normalized channels with the norm's scale and bias if throughNorms is set", async () => {
    const model = graph(
      "x: float32[batch, 3]",
      "y",
      `  fc.weight: float32[3, 4] = random(seed 1)
  norm.weight: float32[4] = random(seed 2)
  norm.bias: float32[4] = random(seed 3)
  head.weight: float32[4, 2] = random(seed 4)
  h = MatMul (x, fc.weight)
  n = LayerNormalization (h, norm.weight, norm.bias) {axis=-1}
  squares = Mul (h, h)
  mean = ReduceMean (squares) {axes=[-1]}
  m = Mul (n, mean)
  y = MatMul (m, head.weight)`,
      "opset 17",
    );
    expect(freeUnits(groupOf(model, "fc"))).toEqual([]);
    const [group] = channelGroups(model, infer(model), { throughNorms: true });
    if (group === undefined) throw new Error("there is no group");
    expect(freeUnits(group)).toEqual([0, 1, 2, 3]);
    await removeChannels(model, [{ group, units: [1] }]);
    expect(verify(model)).toEqual([]);
    const dims = ["fc.weight", "norm.weight", "norm.bias", "head.weight"].map(
      (name) => model.graph.value(name)?.tensor?.dims,
    );
    expect(dims).toEqual([[3, 3], [3], [3], [3, 2]]);
  });

  test("links equal positions across convolution groups, and all multiples of a depthwise channel", () => {
    const grouped = (group: number, weight: string): Model =>
      graph(
        "x: float32[batch, 1, 2, 2]",
        "y",
        `  a.weight: float32[4, 1, 1, 1] = ones
  g.weight: float32[${weight}, 1, 1] = ones
  z.weight: float32[1, 8, 1, 1] = ones
  h = Conv (x, a.weight)
  i = Conv (h, g.weight) {group=${group}}
  y = Conv (i, z.weight)`,
      );
    const two = grouped(2, "8, 2");
    expect(summary(two)).toEqual(["a 2", "g 4", "z 1 (0)"]);
    expect(units(groupOf(two, "a"), "a.weight", 0)).toEqual([0, 1, 0, 1]);
    expect(units(groupOf(two, "g"), "z.weight", 1)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    const depthwise = grouped(4, "8, 1");
    expect(summary(depthwise)).toEqual(["a+g 4", "z 1 (0)"]);
    expect(units(groupOf(depthwise, "a"), "g.weight", 0)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test("refuses a weight shared by two layers, one of which reads the model input", () => {
    const model = graph(
      "x: float32[batch, 3]",
      "y",
      `  a.weight: float32[3, 3] = ones
  h = MatMul "once" (x, a.weight)
  i = MatMul "twice" (h, a.weight)
  b.weight: float32[3, 1] = ones
  y = MatMul (i, b.weight)`,
    );
    // h is written along the second axis and read along the first, which also reads the model input.
    expect(summary(model)).toEqual(["a+a 3 (0)", "b 1 (0)"]);
    expect(reasons(model, "a")).toEqual(["x: they are an input of the model"]);
  });

  test("links stored copies of one parameter", () => {
    const model = graph(
      "x: float32[batch, 2]",
      "y",
      `  a.weight: float32[2, 4] parameter = ones
  b.weight: float32[4, 2] tied(a.weight, transposed) = ones
  c.weight: float32[2, 1] = ones
  h = MatMul (x, a.weight)
  g = MatMul (h, b.weight)
  y = MatMul (g, c.weight)`,
    );
    const group = groupOf(model, "a");
    expect(units(group, "a.weight", 1)).toEqual([0, 1, 2, 3]);
    expect(units(group, "b.weight", 0)).toEqual([0, 1, 2, 3]);
    // b's outputs are a's input channels, which are the model's input.
    expect(reasons(model, "b")).toEqual(["x: they are an input of the model"]);
  });
});

describe("channelGroups on channels that cannot be removed", () => {
  test("refuses outputs and inputs of the model", () => {
    const model = graph(
      "x: float32[batch, 2], z: float32[batch, 2]",
      "y, h",
      `  a.weight: float32[2, 2] = ones
  b.weight: float32[2, 2] = ones
  c.weight: float32[2, 2] = ones
  h = MatMul (x, a.weight)
  i = MatMul (h, b.weight)
  s = Add (i, z)
  y = MatMul (s, c.weight)`,
    );
    expect(reasons(model, "a")).toEqual(["h: they are an output of the model"]);
    expect(reasons(model, "b")).toEqual(["z: they are an input of the model"]);
    expect(reasons(model, "c")).toEqual(["y: they are an output of the model"]);
  });

  test("refuses channels flattened with axes of unknown size, with the reason", () => {
    const flattened = (outputs: string) =>
      graph(
        "x: float32[batch, 2, height, width]",
        outputs,
        `  a.weight: float32[4, 2, 3, 3] = ones
  h = Conv (x, a.weight)
  f = Flatten "flat" (h)
  y = Neg (f)`,
      );
    expect(reasons(flattened("y"), "a")).toEqual(['Flatten "flat": they reach an axis whose size is not known']);
    expect(reasons(flattened("f"), "a")).toEqual(["f: they are an output of the model"]);
  });

  test("refuses channels that a reshape divides between other axes", () => {
    const model = graph(
      "x: float32[batch, 2, 6, 6]",
      "y",
      `  a.weight: float32[6, 2, 3, 3] = ones
  h = Conv (x, a.weight)
  shape: int64[3] = [0, 32, 3]
  r = Reshape "divide" (h, shape)
  y = Relu (r)`,
    );
    expect(reasons(model, "a")).toEqual(['Reshape "divide": its elements are spread over several axes']);
  });

  test("refuses heads that a cache stores, and names the cache", () => {
    const model = graph(
      "x: float32[batch, seq, 8], past: float32[batch, past, 8]",
      "present",
      `  a.weight: float32[8, 8] = ones
  h = MatMul (x, a.weight)
  present = Concat (past, h) {axis=1}`,
    );
    expect(reasons(model, "a")).toEqual(["present: they are an output of the model"]);
  });

  test("refuses channels concatenated along an axis of unknown size", () => {
    const model = graph(
      "x: float32[batch, 8], z: float32[batch, others]",
      "y",
      `  a.weight: float32[8, 8] = ones
  h = MatMul (x, a.weight)
  c = Concat "both" (h, z) {axis=1}
  y = Neg (c)`,
    );
    expect(reasons(model, "a")).toEqual(['Concat "both": the size of an input along the axis is not known']);
  });

  test("does not refuse channels if the first convolution's input channels are unknown", () => {
    const model = graph(
      "x: float32[batch, channels, height, width]",
      "y",
      `  a.weight: float32[4, 2, 3, 3] = random(seed 1)
  b.weight: float32[1, 4, 3, 3] = random(seed 2)
  h = Conv (x, a.weight)
  y = Conv (h, b.weight)`,
    );
    const [first] = channelGroups(model, infer(model));
    expect(first && freeUnits(first).length).toBe(4);
    expect(reasons(model, "b")).toEqual(["y: they are an output of the model"]);
  });

  test("refuses channels that an unknown operator, a subgraph or a softmax reads", () => {
    const model = graph(
      "x: float32[batch, 2], flag: bool[]",
      "y, w, v",
      `  a.weight: float32[2, 2] = ones
  b.weight: float32[2, 2] = ones
  c.weight: float32[2, 4] = ones
  h = MatMul (x, a.weight)
  y = foreign.Thing "strange" (h)
  i = MatMul (x, b.weight)
  w = If(flag) {then_branch=graph () -> (p) { p = Neg(i) }, else_branch=graph () -> (q) { q = Abs(i) }}
  j = MatMul (x, c.weight)
  v = Softmax "normalized" (j)`,
    );
    expect(reasons(model, "a")).toEqual(['foreign.Thing "strange": Pith does not know this operator']);
    expect(reasons(model, "b")[0]).toMatch(/a subgraph reads them$/);
    expect(reasons(model, "c").slice(-1)).toEqual(['Softmax "normalized": Softmax normalizes over this axis']);
  });

  test("refuses only those channels of a layer that reach an output", () => {
    const model = graph(
      "x: float32[batch, 2]",
      "y, z",
      `  a.weight: float32[2, 5] = ones
  sizes: int64[2] = [2, 3]
  b.weight: float32[3, 1] = ones
  h = MatMul (x, a.weight)
  y, rest = Split (h, sizes) {axis=1}
  z = MatMul (rest, b.weight)`,
    );
    expect(summary(model)).toEqual(["a 5 (3)", "b 1 (0)"]);
    expect(freeUnits(groupOf(model, "a"))).toEqual([2, 3, 4]);
  });

  test("refuses a unit that is all of an axis", () => {
    const model = graph(
      "x: float32[batch, 2]",
      "y",
      `  a.weight: float32[2, 1] = ones
  b.weight: float32[1, 4] = ones
  c.weight: float32[4, 2] = ones
  grid: int64[3] = [-1, 2, 2]
  row: int64[2] = [-1, 4]
  h = MatMul (x, a.weight)
  i = MatMul (h, b.weight)
  pairs = Reshape (i, grid)
  swapped = Transpose (pairs) {perm=[0, 2, 1]}
  shuffled = Reshape (swapped, row)
  sum = Add (i, shuffled)
  y = MatMul (sum, c.weight)`,
    );
    expect(summary(model)).toEqual(["a 1 (0)", "b 1 (0)", "c 2 (0)"]);
    expect(reasons(model, "a")).toEqual(["a.weight: they can only be removed together, which would empty axis 1"]);
    expect(reasons(model, "b")).toEqual(["b.weight: they can only be removed together, which would empty axis 1"]);
  });
});

describe("removeChannels", () => {
  test("rewrites tensors, the number of groups, sizes of a Split and dimensions", async () => {
    const model = graph(
      "x: float32[batch, 1, 2, 2]",
      "y",
      `  a.weight: float32[4, 1, 1, 1] = [1, 2, 3, 4]
  d.weight: float32[4, 1, 1, 1] = [5, 6, 7, 8]
  sizes: int64[2] = [3, 1]
  b.weight: float32[1, 3, 1, 1] = [1, 2, 3]
  h = Conv (x, a.weight)
  i = Conv "depth" (h, d.weight) {group=4}
  j, unused = Split "parts" (i, sizes) {axis=1}
  y = Conv (j, b.weight)`,
    );
    const group = groupOf(model, "a");
    expect(await removeChannels(model, [{ group, units: [1, 3] }])).not.toBeInstanceOf(Miss);
    expect(verify(model)).toEqual([]);
    expect(await numbers(model, "a.weight")).toEqual([1, 3]);
    expect(await numbers(model, "d.weight")).toEqual([5, 7]);
    expect(await numbers(model, "b.weight")).toEqual([1, 3]);
    expect(await numbers(model, "sizes")).toEqual([2, 0]);
    expect([...model.graph.nodes()].map(printNode)[1]).toMatch(/group=2/);
    expect(model.graph.value("j")?.type?.dims?.[1]).toBe(2);
  });

  test("removes padded zero channels on both sides and leaves a shared constant unchanged", async () => {
    const model = graph(
      "x: float32[batch, 1, 2, 2]",
      "y",
      `  a.weight: float32[2, 1, 1, 1] = [1, 2]
  b.weight: float32[4, 1, 1, 1] = [5, 6, 7, 8]
  pads: int64[8] = [0, 1, 0, 0, 0, 1, 0, 0]
  c.weight: float32[1, 4, 1, 1] = [1, 2, 3, 4]
  h = Conv (x, a.weight)
  p = Pad "wide" (h, pads)
  other = Pad "other" (x, pads)
  i = Conv (x, b.weight)
  s = Add (p, i)
  z = Conv (s, c.weight)
  o = ReduceSum (other) {keepdims=0}
  y = Add (z, o)`,
    );
    const group = groupOf(model, "b");
    expect(group.layers.map(({ name }) => name)).toEqual(["a", "b"]);
    // Units follow a's two channels, which are the middle two of b's four.
    expect(units(group, "b.weight", 0)).toEqual([2, 0, 1, 3]);
    await removeChannels(model, [{ group, units: [1, 2] }]);
    expect(verify(model)).toEqual([]);
    expect(await numbers(model, "a.weight")).toEqual([1]);
    expect(await numbers(model, "b.weight")).toEqual([6, 8]);
    expect(await numbers(model, "c.weight")).toEqual([2, 4]);
    expect(await numbers(model, "pads")).toEqual([0, 1, 0, 0, 0, 1, 0, 0]);
    const wide = [...model.graph.nodes()].find((node) => node.name === "wide");
    expect(await numbers(model, wide?.inputs[1]?.name ?? "")).toEqual([0, 0, 0, 0, 0, 1, 0, 0]);
  });

  test("rewrites a shape built at run time as a constant, or subtracts the difference", async () => {
    const make = (): Model =>
      graph(
        "x: float32[batch, seq, 2]",
        "y, z",
        `  a.weight: float32[2, 4] = [1, 2, 3, 4, 5, 6, 7, 8]
  two: int64[1] = [2]
  four: int64[1] = [4]
  open: int64[1] = [-1]
  b.weight: float32[4, 1] = [1, 2, 3, 4]
  first = Shape (x) {start=0, end=1}
  lengths = Shape (x) {start=0, end=2}
  same = Concat (lengths, four) {axis=0}
  rows = Concat (open, two) {axis=0}
  flat = Reshape (x, rows)
  h = MatMul (flat, a.weight)
  back = Reshape "back" (h, same)
  y = MatMul (back, b.weight)
  whole = Concat (first, open, four) {axis=0}
  i = Reshape "again" (back, whole)
  z = MatMul (i, b.weight)`,
      );
    const model = make();
    const group = groupOf(model, "a");
    expect(await removeChannels(model, [{ group, units: [1] }])).not.toBeInstanceOf(Miss);
    expect(verify(model)).toEqual([]);
    const named = (name: string) => [...model.graph.nodes()].find((node) => node.name === name)?.inputs[1];
    expect(await numbers(model, named("again")?.name ?? "")).toEqual([0, -1, 3]);
    const shift = named("back")?.producer;
    expect(shift?.op).toBe("Add");
    expect(await numbers(model, shift?.inputs[1]?.name ?? "")).toEqual([0, 0, -1]);
    expect(model.graph.value("back")?.type?.dims?.[2]).toBe(3);
  });

  test("returns a miss with its place, and changes nothing, if units omit linked slices", async () => {
    const model = graph(
      "x: float32[batch, 2]",
      "y",
      `  a.weight: float32[2, 4] = ones
  b.weight: float32[4, 1] = ones
  h = MatMul (x, a.weight)
  y = MatMul "reader" (h, b.weight)`,
    );
    const group = groupOf(model, "a");
    const part = { ...group, slices: group.slices.filter(({ value }) => value.name !== "b.weight") };
    const before = printModel(model);
    const failed = await removeChannels(model, [{ group: part, units: [0] }]);
    expect(failed).toEqual(new Miss("the shared axis has 3 entries on the left and 4 on the right", 'MatMul "reader"'));
    expect(printModel(model)).toBe(before);
    expect(whyNotRemovable(model, [{ group: part, units: [] }])).toBeUndefined();
  });

  test("cuts several groups that meet on one axis", async () => {
    const model = graph(
      "x: float32[batch, 1]",
      "y",
      `  a.weight: float32[1, 2] = [1, 2]
  b.weight: float32[1, 3] = [3, 4, 5]
  c.weight: float32[5, 1] = [1, 2, 3, 4, 5]
  h = MatMul (x, a.weight)
  i = MatMul (x, b.weight)
  j = Concat (h, i) {axis=1}
  y = MatMul (j, c.weight)`,
    );
    const [a, b] = groupsOf(model);
    if (a === undefined || b === undefined) throw new Error("two groups expected");
    await removeChannels(model, [
      { group: a, units: [0] },
      { group: b, units: [1] },
    ]);
    expect(await numbers(model, "c.weight")).toEqual([2, 3, 5]);
    expect(verify(model)).toEqual([]);
  });
});

describe("channelGroups with axes too long to trace", () => {
  const tiled = `opset 21
graph (x: float32[batch, 8]) -> (y: float32[batch, 4]) {
  a.weight: float32[8, 6] = random(seed 1)
  b.weight: float32[6, 4] = random(seed 2)
  e: float32[1, 8] = random(seed 3)
  times: int64[2] = [3000000000, 10]
  h = MatMul "a" (x, a.weight)
  r = Relu(h)
  y = MatMul "b" (r, b.weight)
  t = Tile(e, times)
  SIDE
}`;
  const groupsOf = (side: string) => {
    const model = parseModel(tiled.replace("SIDE", side));
    return channelGroups(model, infer(model));
  };

  test("ignores a long axis that no channel reaches", () => {
    const [group] = groupsOf("s = ReduceSum(t) {keepdims=0}");
    expect(group === undefined ? 0 : freeUnits(group).length).toBe(6);
  });

  test("refuses channels that reach a long axis", () => {
    const [group] = groupsOf("wide: int64[2] = [1, 2000000000]\n  w = Tile(r, wide)");
    expect([...(group?.refused.values() ?? [])].map(({ reason }) => reason)).toContainEqual(
      expect.stringMatching(/too long to trace/),
    );
  });
});
