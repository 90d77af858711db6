/** Published networks on published data, with nothing said of how images are prepared. */
import { describe, expect, test } from "vitest";
import { shared } from "../shared.ts";
import { json } from "./run.ts";

/** Percent right as other tools measured it, with the preprocessing that the network was trained with. */
const table = [
  { model: "resnet20", data: "cifar10", right: 91.5, preprocessing: "imagenet" },
  { model: "vnncomp_resnet_2b", data: "cifar10", right: 70.3, preprocessing: "cifar10" },
  { model: "vnncomp_mnist-net_256x2", data: "mnist", right: 98.1, preprocessing: "unit" },
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
