/**
 * The two usual benchmarks for pruning since Han et al. (2015, "Learning both weights and connections"), on MNIST: LeNet-300-100 and LeNet-5 as
 * in Caffe. They are trained, then pruned in rounds of fine-tuning. The error is on all 10,000 test
 * images, and the compression ratio counts all parameters including biases.
 */

import type { Model } from "pith";
import { openDataset, preprocess, presets, take } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, type Estimate, evaluate } from "pith/evaluate";
import { conv2d, flatten, linear, maxPool, network, relu } from "pith/nn";
import { prune, remove } from "pith/prune";
import { train } from "pith/train";
import { infer } from "../../src/core/analysis/infer.ts";
import { parametersOf } from "../../src/core/analysis/parameters.ts";
import type { ImageInput } from "../../src/data/images/preprocess.ts";
import { shared } from "../../test/shared.ts";
import { line, target } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const input = { input: ["batch", 1, 28, 28], seed: 1 } as const;

const lenet300 = (): Model =>
  network(
    {
      ...{ flat: flatten(), fc1: linear(784, 300), relu1: relu() },
      ...{ fc2: linear(300, 100), relu2: relu(), fc3: linear(100, 10) },
    },
    input,
  );

const lenet5 = (): Model =>
  network(
    {
      ...{ conv1: conv2d(1, 20, 5), pool1: maxPool(2), conv2: conv2d(20, 50, 5), pool2: maxPool(2) },
      ...{ flat: flatten(), fc1: linear(800, 500), relu1: relu(), fc2: linear(500, 10) },
    },
    input,
  );

type Training = Omit<Parameters<typeof train>[1], "data">;

const usual: Training = { batch: 64, learningRate: 1.2e-3 };
const shifted: Training = { augment: "crop=2" };
/** Trains, prunes and measures. A smoke run trains one epoch on 2,000 images and prunes in two rounds. @returns whether no target was missed. */
export async function lenets({ threads: text, smoke }: Settings): Promise<boolean> {
  const threads = Number(text);
  const folder = shared("data/mnist");
  if (folder === undefined) {
    line("lenets: skipped, MNIST is not at hand");
    return true;
  }
  const [image] = lenet5().graph.feeds;
  if (image === undefined) throw new Error("internal: the network has no input");
  const part = async (part: "train" | "test") => {
    const opened = await openDataset(folder, { part });
    return preprocess(smoke ? take(opened, 2000) : opened, image satisfies ImageInput, presets.unit);
  };
  const [data, test] = [await part("train"), await part("test")];
  const engine = createEngine();
  const learn = async (model: Model, epochs: number, more: Training = {}): Promise<void> => {
    await train(model, { ...usual, ...more, data, threads, epochs: smoke ? 1 : epochs }, { seed: 1 });
  };

  const measure = async (name: string, model: Model, began: number): Promise<Figures> => {
    const plain = model.clone();
    if ([...plain.graph.values()].some(({ role }) => role?.kind === "mask")) await remove(plain);
    const { estimate } = await evaluate(engine, plain, test, accuracy(), { batch: 200, threads });
    const { left, all } = await countOf(plain);
    const [fewer, error] = [all / left, 100 * (1 - estimate.value)];
    line(
      `${name}: error ${error.toFixed(2)} % (${errors(estimate)}), n = ${estimate.count}, ${left.toLocaleString("en")} of ${all.toLocaleString("en")} ` +
        `parameters left, ${fewer.toFixed(1)} × fewer, ${((performance.now() - began) / 60_000).toFixed(1)} minutes`,
    );
    return { fewer, error };
  };

  let began = performance.now();
  const wide = lenet300();
  await learn(wide, 8, shifted);
  await measure("LeNet-300-100, shifted by up to two pixels", wide, began);
  /** Prunes along Zhu and Gupta's cubic curve after each of the first epochs, and trains on. */
  const sparse = async (name: string, start: Model, amount: number, epochs: number): Promise<Figures> => {
    const [since, model] = [performance.now(), start.clone()];
    const rounds = smoke ? 2 : Math.ceil(0.6 * epochs);
    const leftAfter = (round: number): number => 1 - amount * (1 - (1 - round / rounds) ** 3);
    for (let round = 1; round <= rounds; round++) {
      const share = 1 - leftAfter(round) / leftAfter(round - 1);
      await prune(model, { amount: share, scope: "global", keepMasks: true });
      await learn(model, round === rounds ? epochs - rounds + 1 : 1, { ...shifted, learningRate: 1e-3 });
    }
    return measure(`${name}, ${100 * amount}% in ${rounds} rounds, cubic`, model, since);
  };
  const gradual = await sparse("LeNet-300-100", wide, 0.92, 10);

  began = performance.now();
  const large = lenet5();
  await learn(large, 4, shifted);
  await measure("LeNet-5, shifted by up to two pixels", large, began);
  const twelve = await sparse("LeNet-5", large, 0.925, 5);
  const most = await sparse("LeNet-5", large, 0.9915, 20);

  if (smoke) {
    line("a smoke run: too little training to judge by");
    return true;
  }
  const results = [
    aim("LeNet-300-100: 12 × fewer at 1.64 %", gradual, 12, 1.64),
    aim("LeNet-5: 12 × fewer at 0.8 %", twelve, 12, 0.8),
  ];
  aim("LeNet-5, as far as it goes: 108 × fewer at 0.9 %", most, 108, 0.9);
  return results.every((met) => met);
}

interface Figures {
  readonly fewer: number;
  /** Error in percent. */
  readonly error: number;
}

function aim(name: string, { fewer, error }: Figures, least: number, most: number): boolean {
  const met = fewer >= least && error <= most + 1e-9;
  line(target(`${name}: ${fewer.toFixed(1)} × at ${error.toFixed(2)} %`, met, true));
  return met;
}

const errors = ({ low, high }: Estimate): string =>
  `${(100 * (1 - high)).toFixed(2)} … ${(100 * (1 - low)).toFixed(2)}`;

async function countOf(model: Model): Promise<{ readonly left: number; readonly all: number }> {
  let [nonzero, all] = [0, 0];
  for (const { tensor } of parametersOf(model, infer(model))) {
    const { data } = (await tensor?.read()) ?? { data: new Float32Array() };
    all += data.length;
    nonzero += data.filter((entry: unknown) => Number(entry) !== 0).length;
  }
  return { left: nonzero, all };
}
