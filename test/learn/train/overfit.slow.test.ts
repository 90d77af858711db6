/**
 * Published networks overfit 64 samples. The labels are random, so that the trained weights do not help.
 * Networks without classes must halve their loss: a language model on texts, the others on their original outputs after noise is added to their weights.
 *
 * Quantized networks are excluded, because only float weights can be trained.
 */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { elementCount, fixedDims } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import { isIndexed } from "../../../src/data/batches/indexed.ts";
import { firstBatch } from "../../../src/data/batches/select.ts";
import {
  memory,
  type OpenDatasetOptions,
  openDataset,
  openTokenizer,
  parsePreprocessing,
  preprocess,
  take,
  tokenize,
} from "../../../src/data/index.ts";
import { accuracy, evaluate } from "../../../src/judge/index.ts";
import { imageInput } from "../../../src/judge/task/guess-preprocessing.ts";
import {
  adam,
  createStep,
  crossEntropy,
  type Loss,
  meanSquaredError,
  type Step,
} from "../../../src/learn/train/index.ts";
import { sumOfLosses } from "../../../src/learn/train/losses/weighted-sum.ts";
import { shared } from "../../shared.ts";

const count = 64;

interface Case {
  readonly file: string;
  readonly samples: (model: Model) => Promise<IndexedDataset>;
  /** Batch size: 16, or 1 if the network was exported for a single sample. */
  readonly batch?: number;
  readonly rate?: number;
  readonly epochs?: number;
}

const classifiers: readonly Case[] = [
  { file: "resnet20.onnx", samples: labelled("cifar10", "imagenet", 10) },
  { file: "resnet56.onnx", samples: labelled("cifar10", "imagenet", 10) },
  { file: "resnet8_cifar10.onnx", samples: labelled("cifar10", "raw", 10) },
  { file: "vnncomp_resnet_2b.onnx", samples: labelled("cifar10", "cifar10", 10), batch: 1 },
  { file: "vnncomp_cifar_base_kw.onnx", samples: labelled("cifar10", "mean=.485,.456,.406 std=.225", 10), batch: 1 },
  { file: "vnncomp_cifar10_small.onnx", samples: labelled("cifar10", "unit", 10) },
  { file: "vnncomp_cifar10_medium.onnx", samples: labelled("cifar10", "unit", 10) },
  { file: "vnncomp_mnist-net_256x2.onnx", samples: labelled("mnist", "unit", 10), epochs: 200 },
  { file: "vnncomp_mnist-net_256x4.onnx", samples: labelled("mnist", "unit", 10), epochs: 400 },
  { file: "mnist_cntk.onnx", samples: labelled("mnist", "raw", 10), batch: 1 },
  {
    file: "mobilenetv2.onnx",
    samples: labelled("images/imagenet", "scale=1 mean=127 std=127.5 crop=224", 10),
    ...{ batch: 8, rate: 3e-4 },
  },
  {
    file: "squeezenet1.0_deepcompression.onnx",
    samples: labelled("images/imagenet", "caffe crop=227", 10),
    ...{ batch: 8, rate: 2e-4 },
  },
  { file: "vww_mobilenetv1_025.onnx", samples: labelled("images/imagenet", "unit resize=96 crop=96", 2) },
  { file: "kws_dscnn.onnx", samples: async (model) => withLabels("noise", await normal(model), 12) },
  { file: "cct_cifar10.onnx", samples: labelled("cifar10", "cifar10", 10) },
  { file: "mobilenetv3_cifar10.onnx", samples: labelled("cifar10", "cifar10", 10) },
  { file: "bert_sst2/onnx/model.onnx", samples: sentences },
];

const languages: readonly Case[] = [
  { file: "llama260k.onnx", samples: tokens("text/llama260k_eval_64x120_u16le.bin", 120), rate: 3e-3 },
  {
    file: "llama_shakespeare/onnx/decoder_model.onnx",
    samples: tokens("models/llama_shakespeare/valid_ids_u16le.bin", 32),
  },
];

const unlabeled: readonly Case[] = [
  { file: "ad01_autoencoder.onnx", samples: answers(normal) },
  {
    file: "ultraface_slim320.onnx",
    samples: answers((model) => images(model, "images/imagenet", "mean=.498 std=.502 resize=240x320")),
    batch: 1,
  },
  {
    file: "fastestdet.onnx",
    samples: answers((model) => images(model, "images/imagenet", "unit channels=BGR resize=352x352")),
    batch: 1,
  },
  { file: "espcn_nn_resize.onnx", samples: answers(normal), batch: 1, rate: 2e-4 },
  { file: "espcn_subpixel.onnx", samples: answers(normal), batch: 1, rate: 2e-4 },
];

const folder = shared("data/models");
const engine = createEngine();

/** Returns all samples as one batch. */
async function columnsOf(dataset: IndexedDataset): Promise<Batch> {
  for await (const batch of dataset.batches({ size: count })) return batch;
  throw new Error(`${dataset.name} has no samples`);
}

async function opened(path: string, reading: OpenDatasetOptions = {}): Promise<IndexedDataset> {
  const dataset = await openDataset(shared(`data/${path}`) ?? "", reading);
  if (!isIndexed(dataset)) throw new Error(`${path} is a stream`);
  return take(dataset, count);
}

function withLabels(name: string, columns: Batch, classes: number): IndexedDataset {
  const numbers = random(1, "labels");
  const label = Array.from({ length: count }, () => numbers.integer(classes));
  return memory(name, { ...columns, label: int64([count], label) });
}

async function images(model: Model, path: string, preprocessing: string): Promise<Batch> {
  return columnsOf(preprocess(await opened(path), imageInput(model), parsePreprocessing(preprocessing)));
}

async function normal(model: Model): Promise<Batch> {
  const { name, type } = imageInput(model);
  const [, ...rest] = fixedDims(type?.dims?.map((dim, axis) => (axis === 0 ? count : dim))) ?? [];
  const numbers = random(1, "inputs");
  const dims = [count, ...rest];
  return {
    [name]: float32(
      dims,
      Float32Array.from({ length: elementCount(dims) }, () => numbers.normal()),
    ),
  };
}

function labelled(path: string, preprocessing: string, classes: number): Case["samples"] {
  return async (model) => withLabels(path, await images(model, path, preprocessing), classes);
}

async function sentences(model: Model): Promise<IndexedDataset> {
  const tokenizer = await openTokenizer(shared("data/models/bert_sst2") ?? "");
  if (tokenizer === undefined) throw new Error("there is no tokenizer");
  const texts = tokenize(await opened("text/sst2_dev.tsv"), model.graph.feeds, { tokenizer, length: 32 });
  return withLabels("sentences", await columnsOf(texts), 2);
}

function tokens(path: string, length: number): Case["samples"] {
  return async (model) =>
    tokenize(await opened(path, { runningText: { tokenizer: undefined, length } }), model.graph.feeds, {
      language: true,
    });
}

/** Returns inputs with the outputs of the model as targets. */
function answers(inputs: (model: Model) => Promise<Batch>): Case["samples"] {
  return async (model) => {
    const columns = await inputs(model);
    const session = await engine.load(model);
    const parts: Batch[] = [];
    for await (const batch of memory("inputs", columns).batches({ size: 1 })) parts.push(await session.run(batch));
    await session.release();
    const columnsOfOutputs = Object.keys(parts[0] ?? {}).map((name) => {
      const rows = parts.map((part) => Array.from(part[name]?.data ?? [], Number));
      const dims = [count, ...(parts[0]?.[name]?.dims.slice(1) ?? [])];
      return [`answer.${name}`, float32(dims, Float32Array.from(rows.flat()))] as const;
    });
    return memory("answers", { ...columns, ...Object.fromEntries(columnsOfOutputs) });
  };
}

interface Course {
  readonly step: Step;
  /** Mean loss over the samples before training. */
  readonly first: number;
  /** Trains until `enough` accepts the mean loss of an epoch. Returns the last mean loss. */
  learn(enough: (loss: number) => boolean | Promise<boolean>): Promise<number>;
}

async function begin(model: Model, data: IndexedDataset, loss: Loss, one: Case, disturbed: number): Promise<Course> {
  const { batch: size = 16, rate = 1e-3, epochs = 60 } = one;
  const step = await createStep(model, await firstBatch(data, size), { loss, threads: 1 });
  const numbers = random(1, "disturbance");
  for (const { values } of step.parameters) {
    const deviation = disturbed * deviationOf(values);
    for (let at = 0; at < values.length; at++) values[at] = (values[at] ?? 0) + deviation * numbers.normal();
  }
  const optimizer = adam();
  const pass = async (shuffle: number, learns: boolean): Promise<number> => {
    let sum = 0;
    for await (const batch of data.batches({ size, shuffle })) {
      sum += (await step.run(batch)) * size;
      if (learns) optimizer.update(step.parameters, rate);
    }
    return sum / count;
  };
  return {
    step,
    first: await pass(0, false),
    async learn(enough) {
      let mean = Number.NaN;
      for (let epoch = 1; epoch <= epochs; epoch++) {
        mean = await pass(epoch, true);
        if (await enough(mean)) break;
      }
      return mean;
    },
  };
}

function deviationOf(values: ArrayLike<number>): number {
  let [sum, squares] = [0, 0];
  for (let at = 0; at < values.length; at++) sum += values[at] ?? 0;
  for (let at = 0; at < values.length; at++) squares += ((values[at] ?? 0) - sum / values.length) ** 2;
  return Math.sqrt(squares / values.length);
}

const named = (cases: readonly Case[]) => cases.map((one) => [one.file, one] as const);

describe.skipIf(folder === undefined)("a network overfits 64 samples", () => {
  test.each(named(classifiers))("with random labels: %s", async (file, one) => {
    const model = await open(`${folder}/${file}`);
    const data = await one.samples(model);
    const shareOfRight = async () => (await evaluate(engine, model, data, accuracy())).estimate.value;
    expect(await shareOfRight()).toBeLessThan(0.8);
    const { step, learn } = await begin(model, data, crossEntropy(), one, 0);
    let right = 0;
    await learn(async (loss) => {
      if (loss > 0.7) return false;
      step.store(model);
      right = await shareOfRight();
      return right >= 0.95;
    });
    await step.release();
    expect(right).toBeGreaterThanOrEqual(0.95);
  });

  test.each(named(languages))("on texts, to half of the loss: %s", async (file, one) => {
    const model = await open(`${folder}/${file}`);
    const { step, first, learn } = await begin(model, await one.samples(model), crossEntropy(), one, 0);
    const last = await learn((loss) => loss <= first / 2);
    await step.release();
    expect(last).toBeLessThanOrEqual(first / 2);
  });

  test.each(named(unlabeled))("on its original outputs, to half of the loss: %s", async (file, one) => {
    const model = await open(`${folder}/${file}`);
    const parts = model.graph.outputs.map(({ name }) => ({
      loss: meanSquaredError({ output: name, label: `answer.${name}` }),
    }));
    const { step, first, learn } = await begin(model, await one.samples(model), sumOfLosses(parts), one, 0.3);
    expect(first).toBeGreaterThan(0);
    const last = await learn((loss) => loss <= first / 2);
    await step.release();
    expect(last).toBeLessThanOrEqual(first / 2);
  });
});
