/** Published networks on published data, with nothing said of how images are prepared. */
import { describe, expect, test } from "vitest";
import { shared } from "../shared.ts";
import { json } from "./run.ts";

/** Percent right as other tools measured it, with the preprocessing that the network was trained with. */
const table = [
  { model: "resnet56", data: "cifar10", right: 92.6, preprocessing: "imagenet" },
  { model: "resnet8_cifar10", data: "cifar10", right: 88.1, preprocessing: "raw" },
  { model: "vnncomp_cifar10_small", data: "cifar10", right: 63.0, preprocessing: "unit" },
  { model: "vnncomp_cifar10_medium", data: "cifar10", right: 70.6, preprocessing: "unit" },
  { model: "cct_cifar10", data: "cifar10", right: 71.4, preprocessing: "cifar10" },
  { model: "vnncomp_mnist-net_256x4", data: "mnist", right: 97.6, preprocessing: "unit" },
];

describe.each(table)("$model", ({ model, data, right, preprocessing }) => {
  const [file, images] = [shared(`data/models/${model}.onnx`), shared(`data/${data}`)];
  test.skipIf(file === undefined || images === undefined)(
    `is right on ${right} % of ${data}, prepared as "${preprocessing}"`,
    async () => {
      const result = await json("eval", file ?? "", "--data", images ?? "");
      expect(result.preprocessing).toMatch(new RegExp(`^guessed "${preprocessing}"[.;] `));
      const [figure] = result.figures as { estimate: { value: number } }[];
      expect(100 * (figure?.estimate.value ?? 0)).toBeCloseTo(right, 1);
    },
  );
});
