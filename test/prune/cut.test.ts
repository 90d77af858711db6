/** A pruned network computes the same as the network with silenced channels, on every topology and on real models. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { shared } from "../shared.ts";
import { topologies } from "../zoo/topologies.ts";
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
