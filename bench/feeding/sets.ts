/** Pairs of a real dataset and a network to train, from small networks with short steps to ordinary ones. */

import type { Model } from "pith";
import { open } from "pith";
import {
  augmented,
  type Dataset,
  openDataset,
  openTokenizer,
  type Preprocessing,
  preprocess,
  presets,
  tokenize,
} from "pith/data";
import { conv2d, flatten, globalAveragePool, linear, network, relu } from "pith/nn";
import { parseAugmentation } from "../../src/data/images/augment-options.ts";
import { shared } from "../../test/shared.ts";
import { networks } from "../train/networks.ts";

export interface Fed {
  readonly model: Model;
  readonly data: Dataset;
  /** Samples per batch. */
  readonly size: number;
}

export interface FeedingSet {
  readonly name: string;
  /** Whether the images are files, which sharp decodes if it is installed. */
  readonly inFiles: boolean;
  load(seed: number): Promise<Fed>;
}

/** @throws Error if the shared folder lacks the path. */
function place(path: string): string {
  const sharedPath = shared(`data/${path}`);
  if (sharedPath === undefined) throw new Error(`There is no ${path} in the shared folder (PITH_SHARED).`);
  return sharedPath;
}

async function built(name: string): Promise<Model> {
  const definition = networks.find((one) => one.name === name);
  if (definition === undefined) throw new Error(`There is no network ${name}.`);
  const model = await definition.build();
  if (model === undefined) throw new Error(`The file of ${name} is missing.`);
  return model;
}

/** Builds a network of two convolutions, whose step takes little time compared with reading its batch. */
function small(input: readonly number[], classes: number): Model {
  const modules = {
    conv1: conv2d(3, 16, 3, { stride: 2, padding: 1 }),
    relu1: relu(),
    conv2: conv2d(16, 32, 3, { stride: 2, padding: 1 }),
    relu2: relu(),
    pool: globalAveragePool(),
    flat: flatten(),
    fc: linear(32, classes),
  };
  return network(modules, { input, seed: 1 });
}

async function images(path: string, net: Model | Promise<Model>, how: Preprocessing, size: number): Promise<Fed> {
  const model = await net;
  const [input] = model.graph.feeds;
  if (input === undefined) throw new Error("The network has no input.");
  const part = path === "images/imagenet" ? {} : { part: "train" as const };
  return { model, data: preprocess(await openDataset(place(path), part), input, how), size };
}

async function seen(from: Promise<Fed>, how: string, seed: number): Promise<Fed> {
  const fed = await from;
  return { ...fed, data: augmented(fed.data, parseAugmentation(how), { seed }) };
}

const photo = { ...presets.imagenet, resize: 96 };

export const sets: readonly FeedingSet[] = [
  {
    name: "photos 96×96, MobileNetV2",
    inFiles: true,
    load: () => images("images/imagenet", built("mobilenetv2"), photo, 16),
  },
  {
    name: "photos 96×96, small CNN",
    inFiles: true,
    load: () => images("images/imagenet", small([16, 3, 96, 96], 1000), photo, 16),
  },
  {
    name: "CIFAR-10 crop flip, ResNet-20",
    inFiles: false,
    load: (seed) => seen(images("cifar10", built("resnet20"), presets.cifar10, 128), "crop=4 flip", seed),
  },
  { name: "MNIST, LeNet-5", inFiles: false, load: () => images("mnist", built("lenet5"), presets.unit, 128) },
  { name: "MNIST, MLP", inFiles: false, load: () => images("mnist", built("mlp"), presets.unit, 128) },
  {
    name: "SST-2 tokenized, BERT d=128",
    inFiles: false,
    async load() {
      const folder = place("models/bert_sst2");
      const [model, tokenizer] = await Promise.all([open(`${folder}/onnx/model.onnx`), openTokenizer(folder)]);
      if (tokenizer === undefined) throw new Error(`${folder} has no tokenizer.json.`);
      const texts = await openDataset(place("text/sst2_train.tsv"));
      return { model, data: tokenize(texts, model.graph.feeds, { tokenizer }), size: 32 };
    },
  },
];
