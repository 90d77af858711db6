/**
 * Part "digits": a network trained, pruned, quantized and factorized with the library, on all of MNIST.
 *
 * Accuracy is on the 10,000 test images, and differences to the trained network are paired by image. The test images choose nothing:
 * settings were chosen on 10,000 of the training images, and training ends after a fixed number of epochs.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Model, open, save } from "pith";
import { collect, type IndexedDataset } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, compareRows, evaluate, type Size, size } from "pith/evaluate";
import { factorize } from "pith/factorize";
import { linear, network, relu } from "pith/nn";
import { prune, remove } from "pith/prune";
import { quantize } from "pith/quantize";
import { train } from "pith/train";
import { digits as openDigits } from "../../examples/digits.ts";
import { bytes, integer } from "../../src/core/numbers.ts";
import type { Epoch } from "../../src/learn/train/training-state.ts";
import { dropTarget, heading, line, points, share, table, target } from "../lib/print.ts";

const seed = 1;
/** Weight decay moves the weights of always-black pixels from their initial values to zero, so that pruning removes them. */
const training = { epochs: 10, batch: 128, learningRate: 0.005, weightDecay: 1e-4, threads: 1 } as const;
/** Fine-tuning after a change. The learning rate falls to zero within these epochs, as in training. */
const tuning = { epochs: 5, batch: 128, learningRate: 0.005, threads: 1 } as const;

const engine = createEngine();

interface Parts {
  readonly train: IndexedDataset;
  readonly test: IndexedDataset;
}

/** Metric values and sizes of a saved model. */
interface Measured {
  readonly rows: Float64Array;
  readonly size: Size;
}

function shape(hidden: number, own: number): Model {
  const modules = { fc1: linear(784, hidden), relu: relu(), fc2: linear(hidden, 10) };
  return network(modules, { input: ["batch", 784], seed: own });
}

export async function digits(): Promise<void> {
  const { source, train: all, test: rest } = await openDigits();
  const parts: Parts = { train: await collect(all), test: await collect(rest) };
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    heading("Digits: 784-128-10", seed);
    line(`${source}: ${integer(parts.train.count)} training samples, ${integer(parts.test.count)} test samples`);
    const net = shape(128, seed);
    const begin = process.cpuUsage();
    const { history } = await train(net, { ...training, data: parts.train }, { engine, seed });
    const { user, system } = process.cpuUsage(begin);
    showTraining(history, (user + system) / 1e6 / history.length);
    const original = await measured(net, parts, folder);
    await techniques(net, original, parts, folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function showTraining(history: readonly Epoch[], computing: number): void {
  const seconds = history.map((epoch) => epoch.seconds).toSorted((a, b) => a - b);
  const middle = seconds[Math.floor(seconds.length / 2)] ?? Number.NaN;
  const [fastest = Number.NaN, slowest = Number.NaN] = [seconds[0], seconds.at(-1)];
  const { epochs, batch, learningRate, weightDecay } = training;
  line(
    `Adam, ${epochs} epochs of batches of ${batch}, learning rate ${learningRate} to 0, weight decay ${weightDecay}, 1 thread`,
  );
  line(
    `an epoch takes ${middle.toFixed(2)} s in the middle (${fastest.toFixed(2)} to ${slowest.toFixed(2)}), ` +
      `${computing.toFixed(2)} s of a core; ${target("under 1 s", middle < 1, slowest < 1)}`,
  );
}

/** Saves a model, opens the file, and evaluates it. */
async function measured(model: Model, { test }: Parts, folder: string): Promise<Measured> {
  const file = join(folder, "model.onnx");
  await save(model, file);
  const { rows } = await evaluate(engine, await open(file), test, accuracy(), { batch: 500 });
  return { rows, size: await size(file) };
}

type Row = readonly string[];

async function techniques(net: Model, original: Measured, parts: Parts, folder: string): Promise<void> {
  const metric = accuracy();
  const { estimate } = await evaluate(engine, net, parts.test, metric, { batch: 500 });
  const rows: Row[] = [
    [
      "trained",
      share(estimate),
      "",
      ...weight(original.size, original.size),
      target("at least 97.8 %", estimate.value >= 0.978, estimate.low >= 0.978),
    ],
  ];
  const add = async (name: string, model: Model, judgement?: (comparison: Compared) => string): Promise<void> => {
    const now = await measured(model, parts, folder);
    const comparison = { ...compareRows(metric, original.rows, now.rows), ratio: now.size.bytes / original.size.bytes };
    const { candidate, difference } = comparison;
    const remark = judgement?.(comparison) ?? "";
    rows.push([name, share(candidate), points(difference), ...weight(original.size, now.size), remark]);
  };
  const tune = (model: Model): Promise<unknown> =>
    train(model, { ...tuning, data: parts.train }, { engine, seed: seed + 1 });

  const half = net.clone();
  await prune(half, { layers: "fc1", amount: 0.5, keepMasks: true });
  await remove(half);
  await add("half of fc1 pruned", half, (comparison) => dropTarget(0.003, comparison));

  const sparse = net.clone();
  await prune(sparse, { amount: 0.9, scope: "global", keepMasks: true });
  await add("90 % of all pruned, masks in the file", sparse);
  await tune(sparse);
  await remove(sparse);
  await add(`  after ${tuning.epochs} epochs, masks folded`, sparse, (comparison) => dropTarget(0.005, comparison));

  const integers = net.clone();
  await quantize(integers, { scheme: "static", data: parts.train }, { engine, seed });
  await add("static int8", integers, (comparison) => {
    const small = target("at most 0.27 of the bytes", comparison.ratio <= 0.27, true);
    return `${dropTarget(0.002, comparison)}; ${small}`;
  });

  const thin = net.clone();
  await factorize(thin, { layers: "fc1", rank: 32 }, { engine, seed });
  await add("fc1 in rank 32", thin);
  await tune(thin);
  await add(`  after ${tuning.epochs} epochs`, thin, (comparison) => dropTarget(0.01, comparison));

  line();
  const titles = [">accuracy (95 %)", ">points (paired)", ">bytes", ">share", ">brotli", "target"];
  table([`n = ${integer(parts.test.count)}, seed ${seed}`, ...titles], rows);
}

interface Compared extends ReturnType<typeof compareRows> {
  /** Bytes of the file, divided by those of the original. */
  readonly ratio: number;
}

function weight(before: Size, after: Size): string[] {
  return [
    integer(after.bytes),
    (after.bytes / before.bytes).toFixed(3),
    after.brotli === undefined ? "–" : bytes(after.brotli),
  ];
}
