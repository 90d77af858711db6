/** Measures the drop of 8-bit quantization for published networks on published data. */
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { type Dataset, openDataset, parsePreprocessing, preprocess, take } from "../../../src/data/index.ts";
import { accuracy, evaluate } from "../../../src/judge/index.ts";
import { imageInput } from "../../../src/judge/task/guess-preprocessing.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { shared } from "../../shared.ts";
import { layerNames } from "./networks.ts";

// mnist_cntk has 26 KB, so the nodes that quantization adds take as many bytes as its weights.
const networks = [
  { file: "vnncomp_mnist-net_256x2.onnx", folder: "mnist", how: "unit", layers: 3, size: 0.27 },
  { file: "mnist_cntk.onnx", folder: "mnist", how: "raw", layers: 3, size: 0.55 },
  { file: "resnet20.onnx", folder: "cifar10", how: "imagenet", layers: 20, size: 0.32 },
];
const engine = createEngine();
const samples = 500;

const availableNetworks = networks.filter(
  ({ file, folder }) => shared(`data/models/${file}`) && shared(`data/${folder}`),
);

describe.skipIf(availableNetworks.length === 0).each(availableNetworks.length === 0 ? networks : availableNetworks)(
  "$file",
  ({ file, folder, how, layers, size }) => {
    async function load(): Promise<{ model: Model; calibrate: Dataset; judge: Dataset }> {
      const model = await open(shared(`data/models/${file}`) ?? "");
      const input = imageInput(model);
      if (input === undefined) throw new Error(`${file} takes no images`);
      const part = async (name: "train" | "test") =>
        preprocess(await openDataset(shared(`data/${folder}`) ?? "", { part: name }), input, parsePreprocessing(how));
      return { model, calibrate: await part("train"), judge: take(await part("test"), samples) };
    }
    const score = async (model: Model, judge: Dataset): Promise<number> =>
      (await evaluate(engine, model, judge, accuracy())).estimate.value;
    let original = 0;
    let before = 0;
    beforeAll(async () => {
      const { model, judge } = await load();
      original = await score(model, judge);
      before = (await encodeToBytes(model)).length;
    });

    test.each(["weights", "dynamic", "static"] as const)("%s loses less than one point", async (scheme) => {
      const { model, calibrate, judge } = await load();
      const names = layerNames(model);
      const outcome = await quantize(model, scheme === "static" ? { scheme, data: calibrate } : { scheme });
      assertValid(model);
      expect(names.every((name) => outcome.changes.some(({ at }) => at === name))).toBe(true);
      expect(layerNames(model)).toEqual(names);
      expect(names).toHaveLength(layers);
      expect(original - (await score(model, judge))).toBeLessThan(0.01);
      expect((await encodeToBytes(model)).length / before).toBeLessThan(size);
    });
  },
);
