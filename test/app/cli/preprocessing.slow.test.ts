/** Evaluates published networks on published data without stated preprocessing. */
import { describe, expect, test } from "vitest";
import { shared } from "../../shared.ts";
import { json } from "./run.ts";

/** Accuracy in percent as other tools measured it, with the preprocessing of the training. */
const table = [
  { model: "resnet20", data: "cifar10", right: 91.5, preprocessing: "imagenet" },
  { model: "vnncomp_resnet_2b", data: "cifar10", right: 70.3, preprocessing: "cifar10" },
  { model: "resnet56", data: "cifar10", right: 92.6, preprocessing: "imagenet" },
  { model: "resnet8_cifar10", data: "cifar10", right: 88.1, preprocessing: "raw" },
  { model: "vnncomp_cifar10_small", data: "cifar10", right: 63.0, preprocessing: "unit" },
  { model: "vnncomp_cifar10_medium", data: "cifar10", right: 70.6, preprocessing: "unit" },
  { model: "cct_cifar10", data: "cifar10", right: 71.4, preprocessing: "cifar10" },
  { model: "vnncomp_mnist-net_256x2", data: "mnist", right: 98.1, preprocessing: "unit" },
  { model: "vnncomp_mnist-net_256x4", data: "mnist", right: 97.6, preprocessing: "unit" },
];

describe.each(table)("$model", ({ model, data, right, preprocessing }) => {
  const [file, images] = [shared(`data/models/${model}.onnx`), shared(`data/${data}`)];
  test.skipIf(file === undefined || images === undefined)(
    `has an accuracy of ${right} % on ${data} with the guessed preprocessing "${preprocessing}"`,
    async () => {
      const result = await json("eval", file ?? "", "--data", images ?? "");
      expect(result.preprocessing).toMatch(new RegExp(`^guessed "${preprocessing}", `));
      const [figure] = result.figures as { estimate: { value: number } }[];
      expect(100 * (figure?.estimate.value ?? 0)).toBeCloseTo(right, 1);
    },
  );
});

const shakespeare = "models/llama_shakespeare/test_ids_u16le.bin";

/** Metric values that require files next to the model, images, or stated preprocessing. */
const stated = [
  { model: "mobilenetv2", data: "images/imagenet", figure: 0.902, says: 'guessed "symmetric resize=256 crop=224"' },
  { model: "mobilenetv2", data: "images/imagenet", how: "scale=1 mean=127 std=127.5", metric: "top-5", figure: 0.99 },
  { model: "squeezenet1.0_deepcompression", data: "images/imagenet", how: "caffe crop=227", figure: 0.63 },
  { model: "squeezenet1.0_deepcompression", data: "images/imagenet", how: "caffe", metric: "top-5", figure: 0.858 },
  { model: "vnncomp_cifar_base_kw", data: "cifar10", how: "mean=0.485,0.456,0.406 std=0.225", figure: 0.611 },
  { model: "mobilenetv3_cifar10", data: "cifar10", how: "cifar10 std=0.2470,0.2435,0.2616", figure: 0.789 },
  { model: "mnist_cntk", data: "mnist", how: "raw", figure: 0.989 },
  { model: "llama_shakespeare/onnx/decoder_model", data: shakespeare, metric: "cross-entropy", figure: 3.498 },
  { model: "llama_shakespeare/onnx/model", data: shakespeare, metric: "cross-entropy", figure: 3.498 },
];

describe.each(stated)("$model on $data", ({ model, data, how, metric = "accuracy", figure, says = "" }) => {
  const [file, samples] = [shared(`data/models/${model}.onnx`), shared(`data/${data}`)];
  test.skipIf(file === undefined || samples === undefined)(
    `has ${metric} ${figure}`,
    async () => {
      const words = how === undefined ? [] : ["--preprocess", how];
      const result = await json("eval", file ?? "", "--data", samples ?? "", "--metric", metric, ...words);
      expect(result.preprocessing).toContain(says);
      const [first] = result.figures as { estimate: { value: number } }[];
      expect(Math.abs((first?.estimate.value ?? 0) - figure)).toBeLessThan(figure > 20 ? 0.05 : 0.0006);
    },
    600_000,
  );
});
