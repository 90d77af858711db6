/** Larger real models: depthwise convolutions, channel shuffles, weights as inputs, several outputs. */
import { describe, test } from "vitest";
import { shared } from "../../shared.ts";
import { expectModelSameAsSilenced } from "./silenced.ts";

const models = [
  "resnet8_cifar10",
  "resnet56",
  "kws_dscnn",
  "ad01_autoencoder",
  "vww_mobilenetv1_025",
  "vnncomp_cifar10_medium",
  "mobilenetv2",
  "ultraface_slim320",
  "fastestdet",
  "squeezenet1.0_deepcompression",
];

describe("a pruned network equals the network with silenced channels", () => {
  test.each(models.filter((name) => shared(`data/models/${name}.onnx`) !== undefined))("model %s", async (name) => {
    await expectModelSameAsSilenced(name);
  });
});
