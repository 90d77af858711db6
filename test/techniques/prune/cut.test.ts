/** A pruned network computes the same as the network with silenced channels, on every topology and on real models. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { withFreeChannels } from "../../../src/rewrite/clean-up/free-channels.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { shared } from "../../shared.ts";
import { topologies } from "../../zoo/topologies.ts";
import { expectModelSameAsSilenced, expectSameAsSilenced, feedsOf } from "./silenced.ts";

/** Topologies without removable channels: every channel is an output, or read by a subgraph. */
const uncuttableTopologies = new Set(["layer-is-output", "subgraph"]);

describe("a pruned network equals the network with silenced channels", () => {
  test.each(topologies.map((topology) => [topology.name, topology] as const))("topology %s", async (name, topology) => {
    let change = 0;
    for (const [seed, share] of [
      [1, 0.3],
      [2, 0.6],
      [3, 0.99],
    ] as const) {
      change += await expectSameAsSilenced(() => parseModel(topology.text), feedsOf(topology, seed), seed, share);
    }
    if (uncuttableTopologies.has(name)) expect(change).toBe(0);
  });

  test.each([
    ["a Pad with an attribute", 10, "  p = Pad(r) {pads=[0, 0, 0, 0, 0, 4, 0, 0]}"],
    ["a Pad on the channel axis", 21, "  pads: int64[2] = [0, 4]\n  axes: int64[1] = [1]\n  p = Pad(r, pads, _, axes)"],
    [
      "32-bit bounds",
      18,
      `  starts: int32[2] = [0, 0]
  ends: int32[2] = [1000000000, 1000000000]
  axes: int32[2] = [0, 1]
  all = Slice(r, starts, ends, axes)
  pads: int64[2] = [0, 4]
  channel: int64[1] = [1]
  p = Pad(all, pads, _, channel)`,
    ],
    [
      "concatenated zeros",
      17,
      "  shape: int64[4] = [2, 4, 5, 5]\n  z = ConstantOfShape(shape)\n  p = Concat(r, z) {axis=1}",
    ],
    [
      "zeros for a batch size that is known at run time",
      17,
      `  start: int64[1] = [0]
  end: int64[1] = [1]
  rest: int64[3] = [4, 5, 5]
  all = Shape(r)
  batch = Slice(all, start, end)
  shape = Concat(batch, rest) {axis=0}
  z = ConstantOfShape(shape)
  p = Concat(r, z) {axis=1}`,
    ],
  ] as const)("a shortcut that pads channels with %s", async (_, opset, padding) => {
    const text = `opset ${opset}
graph (x: float32[2, 3, 5, 5]) -> (y: float32[...]) {
  a.weight: float32[4, 3, 3, 3] = random(seed 1)
  b.weight: float32[8, 4, 3, 3] = random(seed 2)
  c.weight: float32[2, 8, 1, 1] = random(seed 3)
  h = Conv(x, a.weight) {pads=[1, 1, 1, 1]}
  r = Relu(h)
  g = Conv(r, b.weight) {pads=[1, 1, 1, 1]}
${padding}
  s = Add(g, p)
  y = Conv(s, c.weight)
}`;
    const feeds = {
      x: float32(
        [2, 3, 5, 5],
        Array.from({ length: 150 }, (_, at) => Math.sin(at)),
      ),
    };
    let change = 0;
    for (const share of [0.3, 0.6, 0.99]) change += await expectSameAsSilenced(() => parseModel(text), feeds, 1, share);
    expect(change).toBeGreaterThan(0);
    // Each layer loses its share.
    const model = parseModel(text);
    await prune(model, { structured: 0.5 });
    expect(["a.weight", "b.weight"].map((name) => model.graph.value(name)?.tensor?.dims[0])).toEqual([2, 4]);
  });

  const repeated = (stem: string): string => `
  ${stem}5 = Unsqueeze(${stem}t, two)
  ${stem}s = Expand(${stem}5, repeats)
  ${stem}a = Reshape(${stem}s, heads)`;
  test.each([
    ["repeated for all query heads", `${repeated("k")}${repeated("v")}`],
    ["broadcast to all query heads", "ka = Identity(kt)\n  va = Identity(vt)"],
  ])("one key head, which is cached, %s", async (_, shared) => {
    const text = `opset 17
graph (x: float32[2, 3, 8]) -> (y: float32[...], kt: float32[...], vt: float32[...]) {
  q.weight: float32[8, 16] = random(seed 1)
  k.weight: float32[8, 4] = random(seed 2)
  v.weight: float32[8, 4] = random(seed 3)
  o.weight: float32[16, 8] = random(seed 4)
  split: int64[4] = [0, 0, -1, 4]
  merged: int64[3] = [0, 0, 16]
  two: int64[1] = [2]
  repeats: int64[5] = [2, 1, 4, 3, 4]
  heads: int64[4] = [2, 4, 3, 4]
  q = MatMul(x, q.weight)
  k = MatMul(x, k.weight)
  v = MatMul(x, v.weight)
  qh = Reshape(q, split)
  kh = Reshape(k, split)
  vh = Reshape(v, split)
  qt = Transpose(qh) {perm=[0, 2, 1, 3]}
  kt = Transpose(kh) {perm=[0, 2, 1, 3]}
  vt = Transpose(vh) {perm=[0, 2, 1, 3]}
  ${shared}
  kc = Transpose(ka) {perm=[0, 1, 3, 2]}
  s = MatMul(qt, kc)
  p = Softmax(s) {axis=-1}
  a = MatMul(p, va)
  at = Transpose(a) {perm=[0, 2, 1, 3]}
  m = Reshape(at, merged)
  y = MatMul(m, o.weight)
}`;
    await expectCut(text, [2, 3, 8], { "q.weight": [8, 8], "k.weight": [8, 4], "o.weight": [8, 8] });
  });

  const heightAndWidth = {
    "a Slice": "s = Shape(r)\n  hw = Slice(s, at2, at4)",
    "a Slice of floats": `s = Shape(r)
  f = Cast(s) {to=1}
  part = Slice(f, at2, at4)
  n = Floor(part)
  hw = Cast(n) {to=7}`,
    "a Gather for each": `s = Shape(r)
  h = Gather(s, i2)
  w = Gather(s, i3)
  h1 = Unsqueeze(h, zero)
  w1 = Unsqueeze(w, zero)
  hw = Concat(h1, w1) {axis=0}`,
  };
  test.each(Object.entries(heightAndWidth))(
    "a Resize to the height and width of another value by %s",
    async (_, size) => {
      const text = `opset 13
graph (x: float32[batch, 3, height, width]) -> (y: float32[...]) {
  a.weight: float32[8, 3, 3, 3] = random(seed 1)
  b.weight: float32[12, 8, 3, 3] = random(seed 2)
  c.weight: float32[2, 20, 1, 1] = random(seed 3)
  zero: int64[1] = [0]
  at2: int64[1] = [2]
  at4: int64[1] = [4]
  i2: int64[] = 2
  i3: int64[] = 3
  a = Conv(x, a.weight) {strides=[2, 2], pads=[1, 1, 1, 1]}
  r = Relu(a)
  b = Conv(r, b.weight) {strides=[2, 2], pads=[1, 1, 1, 1]}
  ${size}
  sb = Shape(b)
  nc = Slice(sb, zero, at2)
  sizes = Concat(nc, hw) {axis=0}
  up = Resize(b, _, _, sizes) {mode="linear", coordinate_transformation_mode="pytorch_half_pixel"}
  both = Concat(r, up) {axis=1}
  y = Conv(both, c.weight)
}`;
      await expectCut(text, [2, 3, 12, 14], {
        "a.weight": [4, 3, 3, 3],
        "b.weight": [6, 4, 3, 3],
        "c.weight": [2, 10, 1, 1],
      });
    },
  );

  /** Expects the outputs of the silenced network after random cuts, and these dimensions after half of all channels is removed. */
  async function expectCut(text: string, dims: readonly number[], expected: Record<string, readonly number[]>) {
    const count = dims.reduce((product, size) => product * size, 1);
    const x = float32(
      dims,
      Array.from({ length: count }, (_, at) => Math.sin(at)),
    );
    const make = () => withFreeChannels(parseModel(text));
    let change = 0;
    for (const share of [0.3, 0.99]) change += await expectSameAsSilenced(make, { x }, 1, share);
    expect(change).toBeGreaterThan(0);
    const model = parseModel(text);
    await prune(model, { structured: 0.5, scope: "uniform" });
    for (const [name, shape] of Object.entries(expected))
      expect([name, model.graph.value(name)?.tensor?.dims]).toEqual([name, shape]);
  }

  const models = [
    "vnncomp_mnist-net_256x2",
    "vnncomp_mnist-net_256x4",
    "vnncomp_cifar_base_kw",
    "vnncomp_resnet_2b",
    "mnist_cntk",
    "resnet20",
  ];
  test.each(models.filter((name) => shared(`data/models/${name}.onnx`) !== undefined))("model %s", async (name) => {
    await expectModelSameAsSilenced(name);
  });
});
