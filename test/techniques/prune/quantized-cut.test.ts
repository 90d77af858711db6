/** A quantized network loses the channels of the float one, and computes the same as with silenced channels. */
import { describe, expect, test } from "vitest";
import { removeChannels } from "../../../src/core/analysis/remove-channels.ts";
import { Miss } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { shared } from "../../shared.ts";
import type { Topology } from "../../zoo/topologies.ts";
import { expectCutTopology, expectPrunedFile, networks } from "./quantized-networks.ts";
import { choose, difference, feedsOf, run, silencedWhereRead } from "./silenced.ts";

describe("static: a pruned network equals the network with silenced channels", () => {
  test.each(networks.map((topology) => [topology.name, topology] as const))("topology %s", (_, topology) =>
    expectCutTopology(topology, "static"),
  );
});

/** A file in the QOperator format, as ONNX Runtime's quantizer writes it. */
const onCodes: Topology = {
  name: "operators on quantized values",
  inputs: { x: [2, 3, 8, 8] },
  text: `opset 17, com.microsoft 1
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 5]) {
  c1.weight: uint8[8, 3, 3, 3] = random(seed 1, from 0 to 255)
  c1.bias: int32[8] = random(seed 2, from -30000 to 30000)
  c2.weight: uint8[8, 8, 3, 3] = random(seed 3, from 0 to 255)
  fc.weight: uint8[5, 8] = random(seed 4, from 0 to 255)
  fc.bias: int32[5] = random(seed 5, from -30000 to 30000)
  w.scale: float32[] = 0.002
  x.scale: float32[] = 0.0078
  r.scale: float32[] = 0.011
  b.scale: float32[] = 0.017
  s.scale: float32[] = 0.021
  g.scale: float32[] = 0.0064
  y.scale: float32[] = 0.013
  low: uint8[] = 0
  middle: uint8[] = 128
  q = QuantizeLinear(x, x.scale, middle)
  r = QLinearConv "c1" (q, x.scale, middle, c1.weight, w.scale, middle, r.scale, low, c1.bias) {pads=[1, 1, 1, 1]}
  b = QLinearConv "c2" (r, r.scale, low, c2.weight, w.scale, middle, b.scale, middle) {pads=[1, 1, 1, 1]}
  s = com.microsoft.QLinearAdd(r, r.scale, low, b, b.scale, middle, s.scale, middle)
  g = com.microsoft.QLinearGlobalAveragePool(s, s.scale, middle, g.scale, middle)
  f = Flatten(g)
  h = com.microsoft.QGemm "fc" (f, g.scale, middle, fc.weight, w.scale, middle, fc.bias, y.scale, middle) {transB=1}
  y = DequantizeLinear(h, y.scale, middle)
}`,
};

test.each([
  [1, 0.3],
  [2, 0.6],
] as const)("prunes a network in the QOperator format exactly, seed %d", async (seed, share) => {
  const [model, feeds] = [parseModel(onCodes.text), feedsOf(onCodes, 1)];
  const removals = choose(model, seed, share);
  expect(removals).not.toEqual([]);
  const silent = await run(silencedWhereRead(model, removals), feeds);
  expect(difference(silent, await run(model, feeds))).toBeGreaterThan(1e-3);
  const small = model.clone();
  expect(await removeChannels(small, choose(small, seed, share))).not.toBeInstanceOf(Miss);
  expect(verify(small)).toEqual([]);
  expect(difference(await run(small, feeds), silent)).toBeLessThanOrEqual(1e-5);
});

describe.each([
  ["kws_dscnn", "dynamic", 9],
  ["ad01_autoencoder", "blocks of 4 bits", 8],
] as const)("%s, %s: half of the channels", (name, scheme, count) => {
  const path = shared(`data/models/${name}.onnx`);
  test.skipIf(path === undefined)("are removed, with the outputs of silenced channels", () =>
    expectPrunedFile(path ?? "", scheme, count),
  );
});
