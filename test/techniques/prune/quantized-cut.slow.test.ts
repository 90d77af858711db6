/** The networks of quantized-cut.test.ts in more schemes, and larger files. */
import { describe, test } from "vitest";
import { shared } from "../../shared.ts";
import { expectCutTopology, expectPrunedFile, networks } from "./quantized-networks.ts";

describe.each(["dynamic", "dynamic, per channel", "blocks of 4 bits", "blocks of 4 bits with zero points"])(
  "%s: a pruned network equals the network with silenced channels",
  (name) => {
    test.each(networks.map((topology) => [topology.name, topology] as const))("topology %s", (_, topology) =>
      expectCutTopology(topology, name),
    );
  },
);

describe.each([
  ["ad01_autoencoder", "dynamic", 9],
  ["bert_sst2/onnx/model", "blocks of 4 bits with zero points", 17],
] as const)("%s, %s: half of the channels", (name, scheme, count) => {
  const path = shared(`data/models/${name}.onnx`);
  test.skipIf(path === undefined)("are removed, with the outputs of silenced channels", () =>
    expectPrunedFile(path ?? "", scheme, count),
  );
});
