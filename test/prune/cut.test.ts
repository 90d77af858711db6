/** A cut network computes what the network with silenced channels does: on every topology, and on real models. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/graph/text.ts";
import { shared } from "../shared.ts";
import { topologies } from "../zoo/topologies.ts";
import { expectModelSameAsSilenced, expectSameAsSilenced, feedsOf } from "./silenced.ts";

/** Nothing of these can be cut: every channel is an output, or read by a subgraph. What cannot be cut now may be once operators are added. */
const whole = new Set(["layer-is-output", "subgraph"]);

describe("cut equals silenced", () => {
  test.each(topologies.map((topology) => [topology.name, topology] as const))("topology %s", async (name, topology) => {
    let change = 0;
    for (const [seed, share] of [
      [1, 0.3],
      [2, 0.6],
      [3, 0.99],
    ] as const) {
      change += await expectSameAsSilenced(() => parseModel(topology.text), feedsOf(topology, seed), seed, share);
    }
    if (whole.has(name)) expect(change).toBe(0);
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
