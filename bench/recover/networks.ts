/** Published networks with the data that they were trained for, and what makes them worse. */

import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { type Dataset, openDataset, openTokenizer, preprocess, presets, take, tokenize } from "../../src/data/index.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../src/techniques/quantize/index.ts";
import { shared } from "../../test/shared.ts";

export interface Network {
  readonly name: string;
  readonly model: Model;
  /** Samples with labels to fit and train on. */
  readonly train: IndexedDataset;
  /** Test samples. */
  readonly test: IndexedDataset;
  readonly damages: readonly Damage[];
}

export interface Damage {
  readonly name: string;
  /** Stages that a model can go through: of integers only biases can change. */
  readonly stages: "all" | "biases";
  apply(model: Model, calibration: Dataset): Promise<unknown>;
}

/** How much is taken away: enough to be seen. */
interface Amounts {
  readonly channels: number;
  readonly rank: number;
  readonly bits: number;
}

function damagesOf({ channels, rank, bits }: Amounts): readonly Damage[] {
  const percent = (share: number): string => `${Math.round(100 * share)} %`;
  return [
    {
      name: `${percent(channels)} of channels cut`,
      stages: "all",
      apply: (model) => prune(model, { structured: channels, scope: "uniform", importance: "magnitude", roundTo: 1 }),
    },
    {
      name: `matrices at low rank, ${percent(rank)} of their weights`,
      stages: "all",
      apply: (model) => factorize(model, { overrides: { "*": { budget: rank } } }),
    },
    {
      name: `${bits}-bit weights, per-channel scales`,
      stages: "all",
      apply: (model) => fakeQuantize(model, { bits, learnScales: true }),
    },
    {
      name: "static int8, one scale per weight",
      stages: "biases",
      apply: (model, data) => quantize(model, { scheme: "static", data, perChannel: false }),
    },
  ];
}

/** A file of `../shared`. @throws Error if it is not there */
function needed(name: string): string {
  const path = shared(name);
  if (path === undefined) throw new Error(`${name} is not there: this bench needs the published models and data.`);
  return path;
}

async function onImages(file: string, preset: "imagenet" | "cifar10", samples: number): Promise<Network> {
  const model = await open(needed(`data/models/${file}.onnx`));
  const [input] = model.graph.feeds;
  if (input === undefined) throw new Error(`${file} has no input.`);
  const [train, test] = await Promise.all(
    (["train", "test"] as const).map(async (part) => {
      const data = await openDataset(needed("data/cifar10"), { part });
      if (!isIndexed(data)) throw new Error("The images are a stream.");
      return preprocess(data, input, presets[preset]);
    }),
  );
  if (train === undefined || test === undefined) throw new Error("There are no images.");
  const damages = damagesOf({ channels: 0.3, rank: 0.5, bits: 3 });
  return { name: file, model, train: take(train, samples), test: take(test, 1000), damages };
}

async function onSentences(samples: number): Promise<Network> {
  const model = await open(needed("data/models/bert_sst2/onnx/model.onnx"));
  const tokenizer = await openTokenizer(needed("data/models/bert_sst2"));
  if (tokenizer === undefined) throw new Error("bert_sst2 has no tokenizer.");
  const [train, test] = await Promise.all(
    (["train", "test"] as const).map(async (part) => {
      const data = await openDataset(needed(`data/text/sst2_${part === "train" ? "train" : "dev"}.tsv`), { part });
      if (!isIndexed(data)) throw new Error("The sentences are a stream.");
      return tokenize(data, model.graph.feeds, { tokenizer });
    }),
  );
  if (train === undefined || test === undefined) throw new Error("There are no sentences.");
  const damages = damagesOf({ channels: 0.6, rank: 0.15, bits: 2 });
  return { name: "bert_sst2", model, train: take(train, samples), test, damages };
}

export const networks: Readonly<Record<string, (samples: number) => Promise<Network>>> = {
  resnet20: (samples) => onImages("resnet20", "imagenet", samples),
  mobilenetv3_cifar10: (samples) => onImages("mobilenetv3_cifar10", "cifar10", samples),
  cct_cifar10: (samples) => onImages("cct_cifar10", "cifar10", samples),
  bert_sst2: onSentences,
  resnet56: (samples) => onImages("resnet56", "imagenet", samples),
};
