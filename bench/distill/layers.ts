/** Transformers of half of their layers, which learn from the whole network. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Model, open } from "pith";
import { openDataset, openTokenizer, split, take, tokenize } from "pith/data";
import { type DistillationOptions, distillation } from "pith/distill";
import { accuracy, crossEntropy, evaluate, type Metric } from "pith/evaluate";
import { keepLayers } from "pith/prune";
import { pairedMeans } from "../../src/core/math/interval.ts";
import type { IndexedDataset } from "../../src/data/batches/types.ts";
import { shared } from "../../test/shared.ts";
import { shakespeare } from "../learn/disturbed.ts";
import { figureOf, line, target } from "../lib/print.ts";
import { written } from "../lib/written.ts";
import { engine, type Settings, seedsOf, type Training } from "./kept.ts";
import { compared, isGained, meanOf, meanRows } from "./paired.ts";

interface Halved {
  readonly name: string;
  /** Of the shared folder's models. */
  readonly file: string;
  readonly keep: number;
  readonly rates: readonly number[];
  readonly training: Omit<Training, "data" | "loss" | "learningRate">;
  /** Of the runs by which rates are chosen, where they are shorter. */
  readonly choiceEpochs?: number;
  readonly loss: Omit<DistillationOptions, "teacher">;
  readonly metric: Metric;
  samples(
    teacher: Model,
    settings: Settings,
  ): Promise<{ readonly train: IndexedDataset; readonly test: IndexedDataset }>;
}

/** What was found: the teacher, and the student cut, trained alone, distilled. */
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
  const given = await samples(teacher, settings);
  const [train, test] = smoke ? [take(given.train, 128), take(given.test, 64)] : [given.train, given.test];
  const [fit = train, apart = train] = split(train, [0.9, 0.1], 1);
  const student = async (): Promise<Model> => {
    const cut = teacher.clone();
    await keepLayers(cut, { keep });
    return cut;
  };
  const judged = async (model: Model, what: string): Promise<Float64Array> => {
    const found = await evaluate(engine, model, test, metric, { threads });
    line(`  ${what}: ${figureOf(found, metric)}`);
    return found.rows;
  };
  const whole = await judged(teacher, "teacher");
  const cut = await judged(await student(), "cut, not trained");
  const { test: rows = {} } = await compared(settings, {
    name,
    metric,
    seeds: seedsOf(settings),
    rates: smoke ? rates.slice(0, 1) : rates,
    training: smoke ? { ...training, epochs: 1 } : training,
    data: train,
    choice: { data: fit, test: apart, training: { epochs: smoke ? 1 : choiceEpochs } },
    tests: { test },
    student,
    arms: () => Promise.resolve([{ name: "alone" }, { name: "distilled", loss: distillation({ teacher, ...loss }) }]),
  });
  return { teacher: whole, cut, rows };
}

/** Two of four layers of a classifier of sentences: at least 0.98 of the teacher's accuracy. */
export async function bert(settings: Settings): Promise<boolean> {
  const metric = accuracy();
  const found = await halved(settings, {
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
  if (found === undefined) return true;
  isGained(found.rows);
  const distilled = meanRows(found.rows.distilled ?? []);
  const least = 0.98;
  const above = pairedMeans(
    found.teacher.map((right) => least * right),
    distilled,
  );
  const part = meanOf(distilled) / meanOf(found.teacher);
  line(
    `  ${part.toFixed(3)} of the teacher's accuracy; ${target("at least 0.98 of it", part >= least, above.low >= 0)}`,
  );
  return part >= least;
}

/** Two of four layers of a language model, without labels; the last twentieth of the text tells. */
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

/** Half of the layers of a language model whose training text is not at hand: it learns from what its teacher writes. */
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

/** Loss above the teacher's, distilled: at most half of what it is where the student is trained alone, in as many steps. */
async function gapHalved(settings: Settings, task: Halved): Promise<boolean> {
  const found = await halved(settings, task);
  if (found === undefined) return true;
  const { teacher, cut, rows } = found;
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
