/** Transformers with half of their layers, distilled from the whole network. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Model, open } from "pith";
import { openDataset, openTokenizer, split, take, tokenize } from "pith/data";
import { type DistillationOptions, distillation } from "pith/distill";
import { accuracy, evaluate, type Metric } from "pith/evaluate";
import { keepLayers } from "pith/prune";
import { pairedMeans } from "../../src/core/math/confidence-interval.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { crossEntropy } from "../../src/runtime/metrics/class-metrics.ts";
import { shared } from "../../test/shared.ts";
import { shakespeare } from "../learn/disturbed.ts";
import { figureOf, line, target } from "../lib/print.ts";
import { written } from "../lib/written.ts";
import { engine, type Settings, seedsOf, type Training } from "./kept.ts";
import { compared, isGained, meanOf, meanRows } from "./paired.ts";

interface Halved {
  readonly name: string;
  /** Path of the model file in the shared folder's `models`. */
  readonly file: string;
  readonly keep: number;
  readonly rates: readonly number[];
  readonly training: Omit<Training, "data" | "loss" | "learningRate">;
  /** Epochs of the runs that choose the learning rate, if shorter. */
  readonly choiceEpochs?: number;
  readonly loss: Omit<DistillationOptions, "teacher">;
  readonly metric: Metric;
  samples(
    teacher: Model,
    settings: Settings,
  ): Promise<{ readonly train: IndexedDataset; readonly test: IndexedDataset }>;
}

/** Returns the loss per sample of the teacher, the cut student, and the student trained alone and distilled. */
async function halved(settings: Settings, task: Halved) {
  const { name, file, keep, rates, training, choiceEpochs = training.epochs, loss, metric, samples } = task;
  const { smoke, threads } = settings;
  const path = shared(`data/models/${file}`);
  line(`${name}: ${keep} layers of ${file}`);
  if (path === undefined) {
    line("  skipped: the model is not at hand");
    return undefined;
  }
  const teacher = await open(path);
  const datasets = await samples(teacher, settings);
  const [train, test] = smoke ? [take(datasets.train, 128), take(datasets.test, 64)] : [datasets.train, datasets.test];
  const [fit = train, choiceSamples = train] = split(train, [0.9, 0.1], 1);
  const student = async (): Promise<Model> => {
    const cut = teacher.clone();
    await keepLayers(cut, { keep });
    return cut;
  };
  const judged = async (model: Model, what: string): Promise<Float64Array> => {
    const evaluation = await evaluate(engine, model, test, metric, { threads });
    line(`  ${what}: ${figureOf(evaluation, metric)}`);
    return evaluation.rows;
  };
  const teacherLosses = await judged(teacher, "teacher");
  const cut = await judged(await student(), "cut, not trained");
  const { test: rows = {} } = await compared(settings, {
    name,
    metric,
    seeds: seedsOf(settings),
    rates: smoke ? rates.slice(0, 1) : rates,
    training: smoke ? { ...training, epochs: 1 } : training,
    data: train,
    choice: { data: fit, test: choiceSamples, training: { epochs: smoke ? 1 : choiceEpochs } },
    tests: { test },
    student,
    arms: () => Promise.resolve([{ name: "alone" }, { name: "distilled", loss: distillation({ teacher, ...loss }) }]),
  });
  return { teacher: teacherLosses, cut, rows };
}

/** Keeps two of four layers of a sentence classifier. The target is at least 0.98 of the teacher's accuracy. */
export async function bert(settings: Settings): Promise<boolean> {
  const metric = accuracy();
  const result = await halved(settings, {
    ...{ name: "bert", file: "bert_sst2/onnx/model.onnx", keep: 2, metric, loss: {} },
    rates: [1e-4, 3e-4],
    training: { epochs: 3, batch: 32, optimizer: "adamw", schedule: "cosine", warmup: 0.1, clip: 1 },
    async samples({ graph }) {
      const tokenizer = await openTokenizer(path("models/bert_sst2"));
      if (tokenizer === undefined) throw new Error("bert_sst2 has no tokenizer.");
      const ready = async (part: string): Promise<IndexedDataset> =>
        tokenize((await openDataset(path(`text/sst2_${part}.tsv`))) as IndexedDataset, graph.feeds, { tokenizer });
      return { train: await ready("train"), test: await ready("dev") };
    },
  });
  if (result === undefined) return true;
  isGained(result.rows);
  const distilled = meanRows(result.rows.distilled ?? []);
  const least = 0.98;
  const above = pairedMeans(
    result.teacher.map((right) => least * right),
    distilled,
  );
  const part = meanOf(distilled) / meanOf(result.teacher);
  line(
    `  ${part.toFixed(3)} of the teacher's accuracy; ${target("at least 0.98 of it", part >= least, above.low >= 0)}`,
  );
  return part >= least;
}

/** Keeps two of four layers of a language model, without labels. The last twentieth of the text is the test split. */
export const shakespeareHalved = (settings: Settings): Promise<boolean> =>
  gapHalved(settings, {
    ...{ name: "llama_shakespeare", file: "llama_shakespeare/onnx/decoder_model.onnx", keep: 2 },
    ...{ metric: crossEntropy(), loss: { alpha: 1 }, rates: [3e-4, 1e-3] },
    training: { epochs: 6, batch: 16, optimizer: "adamw", schedule: "cosine", warmup: 0.1, clip: 1 },
    choiceEpochs: 2,
    async samples(teacher) {
      const { train, test } = await shakespeare(teacher);
      return { train: train as IndexedDataset, test: test as IndexedDataset };
    },
  });

/** Keeps half of the layers of a language model without training text: the student is trained on text that the teacher generates. */
export const storiesHalved = (settings: Settings): Promise<boolean> =>
  gapHalved(settings, {
    ...{ name: "llama260k", file: "llama260k.onnx", keep: 3 },
    ...{ metric: crossEntropy(), loss: { alpha: 1 }, rates: [3e-4, 1e-3, 3e-3] },
    training: { epochs: 12, batch: 16, optimizer: "adamw", schedule: "cosine", warmup: 0.1, clip: 1 },
    async samples(teacher, { folder, smoke, threads }) {
      const count = smoke ? 128 : 512;
      const file = join(folder, `llama260k_written_${count}x120_u16le.bin`);
      mkdirSync(folder, { recursive: true });
      if (!existsSync(file)) writeFileSync(file, await written(teacher, count, 120, threads));
      const ready = async (from: string): Promise<IndexedDataset> =>
        tokenize((await openDataset(from)) as IndexedDataset, teacher.graph.feeds, { language: true });
      return { train: await ready(file), test: await ready(path("text/llama260k_eval_64x120_u16le.bin")) };
    },
  });

/** Checks that distillation at least halves the gap to the teacher's loss, compared with training alone for as many steps. */
async function gapHalved(settings: Settings, task: Halved): Promise<boolean> {
  const result = await halved(settings, task);
  if (result === undefined) return true;
  const { teacher, cut, rows } = result;
  const gapOf = (own: Float64Array): number => meanOf(own) - meanOf(teacher);
  const [alone, distilled] = [meanRows(rows.alone ?? []), meanRows(rows.distilled ?? [])];
  const shown = [cut, alone, distilled].map((own) => gapOf(own).toFixed(3));
  line(`  nats above the teacher: cut ${shown[0]}, trained alone ${shown[1]}, distilled ${shown[2]}`);
  // Per sample, the gap of the distilled student less half of the other.
  const over = pairedMeans(
    alone.map((nats, at) => (nats - (teacher[at] ?? 0)) / 2),
    distilled.map((nats, at) => nats - (teacher[at] ?? 0)),
  );
  const met = over.value <= 0;
  line(`  ${target("at most half of the gap without distillation", met, over.high <= 0)}`);
  return met;
}

function path(name: string): string {
  return shared(`data/${name}`) ?? "";
}
