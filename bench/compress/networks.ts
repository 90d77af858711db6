/** Networks of the bench, with their data, their maximum drop and the minimum compression ratio. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { shared } from "../../test/shared.ts";

export interface Network {
  readonly name: string;
  readonly model: string;
  readonly data: string;
  /** Test file, if `data` is a file that the network was trained on. */
  readonly test?: string;
  readonly preprocess?: string;
  readonly metric?: "agreement" | "box-overlap" | "cross-entropy";
  readonly maxDrop: number;
  /** Whether NNCF and Olive also compress the network. */
  readonly peers?: true;
  /** Minimum ratio of the bytes: best number format alone over search result. */
  readonly factor: number;
  /** Whether `factor` is relative to the original instead of the best format. */
  readonly ofOriginal?: true;
}

const cifar = { data: "data/cifar10", maxDrop: 0.01 } as const;
const mnist = { data: "data/mnist", preprocess: "unit", maxDrop: 0.01 } as const;
const language = { metric: "cross-entropy", factor: 1.3 } as const;
const imagenet = { data: "data/images/imagenet", metric: "agreement", maxDrop: 0.03, factor: 1.3 } as const;
const speech = {
  data: "data/audio/silero_test.wav",
  preprocess: "frame=512 context=64",
  maxDrop: 0.01,
  factor: 1,
} as const;

export const networks: readonly Network[] = [
  { name: "resnet20", model: "resnet20.onnx", ...cifar, preprocess: "imagenet", factor: 1.8, peers: true },
  { name: "resnet56", model: "resnet56.onnx", ...cifar, preprocess: "imagenet", factor: 1.8 },
  { name: "cct_cifar10", model: "cct_cifar10.onnx", ...cifar, preprocess: "cifar10", factor: 1.4 },
  { name: "mobilenetv3_cifar10", model: "mobilenetv3_cifar10.onnx", ...cifar, preprocess: "cifar10", factor: 1.4 },
  {
    name: "bert_sst2",
    model: "bert_sst2/onnx/model.onnx",
    data: "data/text/sst2_train.tsv",
    test: "data/text/sst2_dev.tsv",
    maxDrop: 0.01,
    factor: 2,
    peers: true,
  },
  { name: "mobilenetv2", model: "mobilenetv2.onnx", ...imagenet, preprocess: "scale=1 mean=127 std=127.5 crop=224" },
  { name: "squeezenet", model: "squeezenet1.0_deepcompression.onnx", ...imagenet, preprocess: "caffe crop=227" },
  // 3 % of their loss, in nats.
  {
    name: "llama260k",
    model: "llama260k.onnx",
    data: "data/text/llama260k_eval_64x120_u16le.bin",
    ...language,
    maxDrop: 0.054,
  },
  {
    name: "llama_shakespeare",
    model: "llama_shakespeare/onnx/decoder_model.onnx",
    data: "data/text/tinyshakespeare.txt",
    ...language,
    maxDrop: 0.078,
  },
  // `npm run demo` writes this model.
  { name: "demo", model: "out/demo/original.onnx", ...mnist, maxDrop: 0.005, factor: 10, ofOriginal: true },
  // No larger than the best format by itself.
  { name: "resnet8", model: "resnet8_cifar10.onnx", ...cifar, factor: 1 },
  { name: "cifar10_small", model: "vnncomp_cifar10_small.onnx", ...cifar, preprocess: "unit", factor: 1 },
  { name: "cifar10_medium", model: "vnncomp_cifar10_medium.onnx", ...cifar, preprocess: "unit", factor: 1 },
  { name: "resnet_2b", model: "vnncomp_resnet_2b.onnx", ...cifar, preprocess: "cifar10", factor: 1 },
  { name: "mnist_256x2", model: "vnncomp_mnist-net_256x2.onnx", ...mnist, factor: 1 },
  { name: "mnist_256x4", model: "vnncomp_mnist-net_256x4.onnx", ...mnist, factor: 1 },
  { name: "mnist_cntk", model: "mnist_cntk.onnx", data: "data/mnist", maxDrop: 0.01, factor: 1 },
  // Random inputs do not show the quality of these networks, so they have data.
  {
    name: "ultraface",
    model: "ultraface_slim320.onnx",
    data: "data/images/imagenet",
    preprocess: "scale=1 mean=127 std=128 resize=240x320",
    metric: "box-overlap",
    maxDrop: 0.03,
    factor: 1,
  },
  { name: "silero_vad", model: "silero_vad.onnx", ...speech },
  { name: "silero_vad_16k", model: "silero_vad_16k_op15.onnx", ...speech },
];

/** Returns undefined if a file is missing. */
export function filesOf({ model, data, test }: Network): { readonly model: string; readonly data: string } | undefined {
  const modelPath = existsSync(model) ? model : shared(join("data/models", model));
  const samples = shared(data);
  if (modelPath === undefined || samples === undefined) return undefined;
  if (test === undefined) return { model: modelPath, data: samples };
  const testSamples = shared(test);
  return testSamples === undefined ? undefined : { model: modelPath, data: inParts(samples, testSamples) };
}

/** Creates a folder whose file names state the splits. The folder is removed when the bench ends. */
function inParts(train: string, test: string): string {
  const folder = mkdtempSync(join(tmpdir(), "pith-bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true }));
  copyFileSync(train, join(folder, `train${extname(train)}`));
  copyFileSync(test, join(folder, `test${extname(test)}`));
  return folder;
}
