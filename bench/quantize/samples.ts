/** Networks with data: random calibration samples for each draw, and the other samples for the test. */
import { mkdtemp, symlink } from "node:fs/promises";
import { join } from "node:path";
import { open } from "../../src/core/onnx/index.ts";
import { fromNumbers, toNumbers } from "../../src/core/tensor/convert.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { setAside } from "../../src/data/batches/select.ts";
import { type IndexedDataset, take } from "../../src/data/index.ts";
import type { Metric } from "../../src/judge/index.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { shared } from "../../test/shared.ts";
import { writeNpz } from "../lib/npz.ts";

interface Network {
  readonly model: string;
  readonly data: "cifar10" | "imagenet" | "sst2";
  readonly preprocess?: string;
}

export const networks = {
  resnet20: { model: "resnet20.onnx", data: "cifar10", preprocess: "imagenet" },
  resnet56: { model: "resnet56.onnx", data: "cifar10", preprocess: "imagenet" },
  squeezenet: { model: "squeezenet1.0_deepcompression.onnx", data: "imagenet", preprocess: "caffe crop=227" },
  mobilenetv2: { model: "mobilenetv2.onnx", data: "imagenet", preprocess: "scale=1 mean=127 std=127.5 crop=224" },
  cct_cifar10: { model: "cct_cifar10.onnx", data: "cifar10", preprocess: "cifar10" },
  mobilenetv3_cifar10: { model: "mobilenetv3_cifar10.onnx", data: "cifar10", preprocess: "cifar10" },
  bert_sst2: { model: "bert_sst2/onnx/model.onnx", data: "sst2" },
} as const satisfies Readonly<Record<string, Network>>;
export type NetworkName = keyof typeof networks;
export const networkNames = Object.keys(networks) as readonly NetworkName[];

export interface Samples {
  readonly path: string;
  readonly preprocessing: string;
  readonly metric: Metric;
  /** All samples that are available for the test. */
  readonly test: IndexedDataset;
  /** Samples `count` calibration samples by seed. Returns the remaining test samples as well, with their indices among all samples. */
  draw(count: number, seed: number): Draw;
}

export interface Draw {
  readonly calibrate: IndexedDataset;
  readonly test: IndexedDataset;
  readonly places: readonly number[];
}

/** @param folder for links to data files. @returns undefined if the shared folder lacks the model or its data. */
export async function openSamples(name: NetworkName, folder: string, most = Infinity): Promise<Samples | undefined> {
  const { model, data, preprocess }: Network = networks[name];
  const [path, dataPath] = [shared(`data/models/${model}`), await dataOf(data, folder)];
  if (path === undefined || dataPath === undefined) return undefined;
  const task = await openTask(await open(path), {
    data: dataPath,
    ...(preprocess === undefined ? {} : { preprocess }),
    ...(data === "imagenet" ? { part: "all" as const } : {}),
  });
  const { train, test, preprocessing, metric } = task;
  if (!isIndexed(test)) throw new Error(`${name}: its test samples are a stream.`);
  const all = take(test, most);
  return {
    path,
    preprocessing: preprocessing ?? "",
    metric,
    test: all,
    draw(count, seed) {
      if (train !== undefined && isIndexed(train))
        return { calibrate: setAside(train, count, seed).drawn, test: all, places: indices(all.count) };
      const { drawn, rest } = setAside(test, count, seed);
      const order = random(seed, "draw").permutation(test.count).slice(count).sort();
      return { calibrate: drawn, test: take(rest, most), places: [...order].slice(0, most) };
    },
  };
}

const indices = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at);

async function dataOf(name: Network["data"], folder: string): Promise<string | undefined> {
  if (name === "cifar10") return shared("data/cifar10");
  if (name === "imagenet") return shared("data/images/imagenet");
  const [train, dev] = [shared("data/text/sst2_train.tsv"), shared("data/text/sst2_dev.tsv")];
  if (train === undefined || dev === undefined) return undefined;
  const links = await mkdtemp(join(folder, "sst2-"));
  await symlink(train, join(links, "train.tsv"));
  await symlink(dev, join(links, "test.tsv"));
  return links;
}

/** Writes each sample separately with its own length: `<sample>/<input>`, and `<sample>/label` if `labels` is set. */
export async function writeSamples(path: string, data: IndexedDataset, labels = false): Promise<void> {
  const arrays: Record<string, Batch[string]> = {};
  let at = 0;
  for await (const batch of data.batches({ size: 1 })) {
    for (const [name, dense] of Object.entries(batch)) if (labels || name !== "label") arrays[`${at}/${name}`] = dense;
    at++;
  }
  await writeNpz(path, arrays);
}

const tokens = 128;

/** Returns one sample for timing. Texts have 128 tokens, concatenated from the first samples. */
export async function timedSample(data: IndexedDataset): Promise<Batch> {
  const few: Batch[] = [];
  for await (const { label: _, ...inputs } of take(data, tokens).batches({ size: 1 })) few.push(inputs);
  const [first = {}] = few;
  return Object.fromEntries(
    Object.entries(first).map(([name, dense]) => {
      if (dense.type !== "int64" || dense.dims.length !== 2) return [name, dense];
      const numbers = few.flatMap((batch) => [...toNumbers(batch[name] ?? dense)]);
      return [name, fromNumbers("int64", [1, tokens], numbers.slice(0, tokens))];
    }),
  );
}
