/**
 * Trained networks with noise in their parameters: seeded noise of a tenth (--noise) of the tensor's standard deviation is added to each parameter, and
 * two epochs of training recover the network. The network is an exported file. It is trained on the available samples and evaluated on
 * others. Batch normalization keeps the statistics of the file.
 */
import { readFileSync } from "node:fs";
import type { Model } from "pith";
import { open } from "pith";
import { openDataset, openTokenizer, parsePreprocessing, preprocess, tokenize } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, compareRows, type Estimate, type Evaluation, evaluate, type Metric } from "pith/evaluate";
import { random } from "pith/extend";
import { createStep, crossEntropy as lossCrossEntropy, train } from "pith/train";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { tokensOfText } from "../../src/data/text/tokens.ts";
import { imageInput } from "../../src/judge/task/guess-preprocessing.ts";
import { crossEntropy } from "../../src/runtime/metrics/class-metrics.ts";
import { shared } from "../../test/shared.ts";
import { figureOf, line, points } from "../lib/print.ts";
import type { Settings } from "./scratch.ts";

export interface Disturbed {
  readonly name: string;
  /** Path of the model file in the shared folder's `models`. */
  readonly file: string;
  readonly recipe: Omit<Parameters<typeof train>[1], "data">;
  readonly metric: Metric;
  data(model: Model): Promise<Samples>;
}

interface Samples {
  readonly train: Dataset;
  /** Samples that chose the published weights, if known. They choose the resulting weights as well. */
  readonly validation?: Dataset;
  readonly test: Dataset;
}

const seed = 1;

/** The preprocessing that the networks were trained with. Its standard deviations differ from the preset in the third digit. */
const preprocessing = parsePreprocessing("mean=.4914,.4822,.4465 std=.2470,.2435,.2616");

async function images(model: Model): Promise<Samples> {
  const ready = async (part: "train" | "test"): Promise<Dataset> =>
    preprocess(await openDataset(path("cifar10"), { part }), imageInput(model), preprocessing);
  return { train: await ready("train"), test: await ready("test") };
}

async function sentences(model: Model): Promise<Samples> {
  const tokenizer = await openTokenizer(path("models/bert_sst2"));
  if (tokenizer === undefined) throw new Error("bert_sst2 has no tokenizer.");
  const ready = async (part: string): Promise<Dataset> =>
    tokenize(await openDataset(path(`text/sst2_${part}.tsv`)), model.graph.feeds, { tokenizer });
  return { train: await ready("train"), test: await ready("dev") };
}

/**
 * Returns the splits of the text: training (nine tenths), validation (a twentieth, which chose the published weights because its loss rose again
 * during training) and test (the last twentieth).
 */
export async function shakespeare(model: Model): Promise<Samples> {
  const folder = path("models/llama_shakespeare");
  const tokenizer = await openTokenizer(folder);
  if (tokenizer === undefined) throw new Error("llama_shakespeare has no tokenizer.");
  const text = readFileSync(path("text/tinyshakespeare.txt"), "utf8");
  const windows = tokensOfText("tinyshakespeare", text.slice(0, Math.floor(0.9 * text.length)), tokenizer, 128);
  const ready = (data: Dataset): Dataset => tokenize(data, model.graph.feeds, { language: true });
  const openPart = async (part: string): Promise<Dataset> =>
    ready(await openDataset(`${folder}/${part}_ids_u16le.bin`));
  return { train: ready(windows), validation: await openPart("valid"), test: await openPart("test") };
}

const pictureRecipe = { batch: 128, optimizer: "adamw", schedule: "cosine", augment: "crop=4 flip" } as const;

export const disturbed: readonly Disturbed[] = [
  {
    ...{ name: "bert_sst2", file: "bert_sst2/onnx/model.onnx", metric: accuracy(), data: sentences },
    recipe: {
      epochs: 2,
      batch: 32,
      optimizer: "adamw",
      learningRate: 0.0001,
      schedule: "cosine",
      warmup: 0.1,
      clip: 1,
    },
  },
  {
    ...{ name: "llama_shakespeare", file: "llama_shakespeare/onnx/decoder_model.onnx" },
    ...{ metric: crossEntropy(), data: shakespeare },
    recipe: {
      epochs: 2,
      batch: 16,
      // Noise does most harm in the directions in which the loss is steep, and plain gradient descent corrects these first. Adam moves as far in
      // all other directions, and overfits the training text.
      optimizer: "sgd",
      learningRate: 0.02,
      schedule: "cosine",
      warmup: 0.1,
      clip: 1,
    },
  },
  {
    ...{ name: "cct_cifar10", file: "cct_cifar10.onnx", metric: accuracy(), data: images },
    recipe: { epochs: 2, ...pictureRecipe, learningRate: 0.0005, warmup: 0.1, clip: 1 },
  },
  {
    ...{ name: "mobilenetv3_cifar10", file: "mobilenetv3_cifar10.onnx", metric: accuracy(), data: images },
    recipe: { epochs: 2, ...pictureRecipe, learningRate: 0.0005, warmup: 0.1, clip: 1 },
  },
];

/** @returns whether no target was missed. */
export async function fromDisturbed(
  { name, file, recipe, metric, data }: Disturbed,
  settings: Settings,
): Promise<boolean> {
  const { threads, noise } = settings;
  const settled = settings.epochs === undefined ? recipe : { ...recipe, epochs: settings.epochs };
  const options = Object.entries(settled).map(([key, value]) => `${key} ${String(value)}`);
  line(`${name}: disturbed by ${100 * noise} % noise, seed ${seed}, threads ${threads}, ${options.join(", ")}`);
  if (shared(`data/models/${file}`) === undefined) {
    line("  skipped: the model is not at hand");
    return true;
  }
  const model = await open(path(`models/${file}`));
  const { train: samples, validation, test } = await data(model);
  const judge = (): Promise<Evaluation> => evaluate(createEngine(), model, test, metric, { threads });
  const before = await judge();
  line(`  published:  ${figureOf(before, metric)}`);
  const changed = await disturb(model, samples, noise);
  const lost = await judge();
  const harm = compareRows(metric, before.rows, lost.rows).difference;
  line(
    `  disturbed:  ${figureOf(lost, metric)}  (${changed} tensors), ${differenceText(harm, metric)} from the published`,
  );
  const { history } = await train(
    model,
    { ...settled, ...(validation === undefined ? {} : { validation }), data: samples, threads },
    { seed, log: ({ text }) => line(`  ${text}`) },
  );
  const after = await judge();
  const seconds = history.reduce((sum, epoch) => sum + epoch.seconds, 0);
  line(`  after ${history.length} epochs: ${figureOf(after, metric)}, ${(seconds / 60).toFixed(1)} minutes`);
  const { difference } = compareRows(metric, before.rows, after.rows);
  const missed = isWorse(difference, metric);
  const reached = missed
    ? "MISSED"
    : isWorse(harm, metric)
      ? betterBy(difference.value, metric) >= 0
        ? "met"
        : "met within the interval"
      : `nothing shown, for the noise did no harm that could be told from chance: more of it with --noise ${Number((3 * noise).toPrecision(2))}`;
  line(`${name}: ${differenceText(difference, metric)} from the published figure, paired by sample: ${reached}`);
  return !missed;
}

/** Returns the difference with a positive sign if the candidate is better. */
function betterBy(difference: number, { better }: Metric): number {
  return better === "higher" ? difference : -difference;
}

/** Returns whether the whole interval of a difference is on the worse side. */
function isWorse({ low, high }: Estimate, metric: Metric): boolean {
  return Math.max(betterBy(low, metric), betterBy(high, metric)) < 0;
}

function differenceText(difference: Estimate, { unit }: Metric): string {
  if (unit === "share") return `${points(difference)} points`;
  const [value, low, high] = [difference.value, difference.low, difference.high].map((number) => number.toFixed(3));
  return `${value} (${low} … ${high}) ${unit}`;
}

/** Adds the noise to each stored tensor that training would change, and returns their number. */
async function disturb(model: Model, samples: Dataset, noise: number): Promise<number> {
  for await (const example of samples.batches({ size: 2 })) {
    const step = await createStep(model, example, { loss: lossCrossEntropy() });
    for (const { name, values } of step.parameters) {
      const numbers = random(seed, "disturbance", name);
      const deviation = noise * deviationOf(values);
      for (let at = 0; at < values.length; at++) values[at] = (values[at] ?? 0) + deviation * numbers.normal();
    }
    step.store(model);
    await step.release();
    return step.parameters.length;
  }
  throw new Error(`${samples.name} has no samples.`);
}

function deviationOf(values: ArrayLike<number>): number {
  let [sum, squares] = [0, 0];
  for (let at = 0; at < values.length; at++) sum += values[at] ?? 0;
  for (let at = 0; at < values.length; at++) squares += ((values[at] ?? 0) - sum / values.length) ** 2;
  return Math.sqrt(squares / values.length);
}

function path(name: string): string {
  return shared(`data/${name}`) ?? "";
}
