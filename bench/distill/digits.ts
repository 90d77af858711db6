/** Students on MNIST: Hinton, Vinyals and Dean's experiment (2015, arXiv 1503.02531, section 3), and a pair of small networks. */
import type { Model } from "pith";
import { float32, inMemory } from "pith";
import { openDataset, preprocess, presets, split, take, view } from "pith/data";
import { distillation } from "pith/distill";
import { accuracy, evaluate } from "pith/evaluate";
import { dropout, flatten, linear, type Modules, network, relu } from "pith/nn";
import { integer } from "../../src/core/numbers.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { shared } from "../../test/shared.ts";
import { line, table, target } from "../lib/print.ts";
import { engine, type Part, type Settings, seedsOf, trained } from "./kept.ts";
import { compared, isGained, meanOf } from "./paired.ts";

interface Digits {
  readonly train: IndexedDataset;
  readonly test: IndexedDataset;
  /** The training samples in two splits, which choose the learning rate. */
  readonly fit: IndexedDataset;
  readonly choice: IndexedDataset;
}

/** Returns undefined if MNIST is not available. */
async function mnist(smoke: boolean): Promise<Digits | undefined> {
  const folder = shared("data/mnist");
  if (folder === undefined) {
    line("  skipped: MNIST is not at hand");
    return undefined;
  }
  const ready = async (part: "train" | "test"): Promise<IndexedDataset> => {
    // Image shifts require four axes. They fill with 0, which is black, as the background is.
    const input = { name: "input", type: { type: "float32", dims: [1, 1, 28, 28] } } as const;
    return preprocess((await openDataset(folder, { part })) as IndexedDataset, input, presets.unit);
  };
  const all = await ready("train");
  const train = smoke ? take(all, 6_000) : all;
  const [fit = train, choice = train] = split(train, [5 / 6, 1 / 6], 1);
  return { train, test: await ready("test"), fit, choice };
}

function dense(seed: number, modules: Modules): Model {
  return network({ flat: flatten(), ...modules }, { input: ["batch", 1, 28, 28], seed });
}

/** Builds a classifier with one hidden layer. */
function small(hidden: number, seed: number): Model {
  return dense(seed, { fc1: linear(784, hidden), relu: relu(), fc2: linear(hidden, 10) });
}

/** The teacher, 784-128-10, is trained on shifted digits; the student, 784-64-10, is not. */
export async function digits(settings: Settings): Promise<boolean> {
  const { smoke } = settings;
  line("digits: 784-128-10 and 784-64-10 on MNIST");
  const data = await mnist(smoke);
  if (data === undefined) return true;
  const training = { epochs: smoke ? 2 : 12, batch: 128 } as const;
  const shifted = { augment: "crop=1" } as const;
  const teacher = (seed: number): Promise<Model> =>
    trained(settings, {
      name: `digits-teacher-${seed}`,
      seed,
      build: () => small(128, seed),
      training: { ...training, ...shifted, data: data.train, learningRate: 0.004 },
    });
  const rows = await compared(settings, {
    name: "digits",
    metric: accuracy(),
    seeds: seedsOf(settings, 5),
    rates: smoke ? [0.004] : [0.004, 0.008],
    training,
    data: data.train,
    choice: { data: data.fit, test: data.choice },
    tests: { test: data.test },
    student: (seed) => small(64, seed + 100),
    arms: async (seed) => [
      { name: "alone" },
      { name: "alone, shifted", training: shifted },
      { name: "distilled", loss: distillation({ teacher: await teacher(seed) }) },
    ],
  });
  return isGained(rows.test);
}

/** Published numbers of errors on the 10,000 test images (section 3). */
const published = { alone: 146, distilled: 74, teacher: 67 } as const;

/**
 * The teacher is 784-1200-1200-10 with dropout and shifts, the student 784-800-800-10 without. The teacher has less dropout than in the paper, because that
 * reduces the errors after 40 epochs: 79 with dropout 0.1 and 0.3, 101 with 0.2 and 0.5.
 */
export async function hinton(settings: Settings): Promise<boolean> {
  const { smoke } = settings;
  line("hinton: 784-1200-1200-10 and 784-800-800-10 on MNIST");
  const data = await mnist(smoke);
  if (data === undefined) return true;
  const metric = accuracy();
  const seeds = seedsOf(settings);
  const batch = 128;
  const training = { epochs: smoke ? 1 : 30, batch } as const;
  const teacher = (seed: number): Promise<Model> =>
    trained(settings, {
      name: `hinton-teacher-${seed}`,
      seed,
      build: () =>
        dense(seed, {
          ...{ drop0: dropout(0.1), fc1: linear(784, 1200), relu1: relu() },
          ...{ drop1: dropout(0.3), fc2: linear(1200, 1200), relu2: relu() },
          ...{ drop2: dropout(0.3), fc3: linear(1200, 10) },
        }),
      training: { epochs: smoke ? 1 : 40, batch, augment: "crop=2", data: data.train, learningRate: 0.001 },
    });
  const student = (seed: number): Model =>
    dense(seed + 100, {
      ...{ fc1: linear(784, 800), relu1: relu(), fc2: linear(800, 800), relu2: relu(), fc3: linear(800, 10) },
    });
  const taught = async (seed: number) => distillation({ teacher: await teacher(seed), temperature: 20, alpha: 0.9 });
  const { test: rows = {} } = await compared(settings, {
    name: "hinton",
    metric,
    seeds,
    rates: smoke ? [0.001] : [0.001, 0.002, 0.004],
    training,
    data: data.train,
    choice: { data: data.fit, test: data.choice, training: { epochs: smoke ? 1 : 5 } },
    tests: { test: data.test },
    student,
    arms: async (seed) => [{ name: "alone" }, { name: "distilled", loss: await taught(seed) }],
  });
  const judged = async (model: Model): Promise<Float64Array> =>
    (await evaluate(engine, model, data.test, metric, { batch: 500, threads: settings.threads })).rows;
  const ofTeachers: Float64Array[] = [];
  for (const seed of seeds) ofTeachers.push(await judged(await teacher(seed)));
  const errors = (all: readonly Float64Array[] = []): number[] => all.map((each) => each.length * (1 - meanOf(each)));
  const errorCounts = { alone: errors(rows.alone), distilled: errors(rows.distilled), teacher: errors(ofTeachers) };
  const titles = ["errors of 10,000", ">seeds", ">mean", ">published"];
  table(
    titles,
    (["alone", "distilled", "teacher"] as const).map((name) => [
      name,
      errorCounts[name].map((count) => count.toFixed(0)).join(" "),
      meanOf(errorCounts[name]).toFixed(1),
      String(published[name]),
    ]),
  );
  const gained = isGained(rows);
  const reached = meanOf(errorCounts.distilled);
  line(
    `  ${target("distilled at most 100 errors", reached <= 100, reached <= 100)}; stretch 74: ${reached <= 74 ? "met" : "missed"}`,
  );
  const [seed = 1] = seeds;
  await neverShown(settings, data, {
    name: `hinton-without-3-${seed}`,
    seed,
    build: () => student(seed),
    training: { ...training, data: await without(data.train, 3), loss: await taught(seed), learningRate: 0.002 },
  });
  return gained && reached <= 100;
}

/** Trains a student without the digit 3, and counts its errors before and after the bias of class 3 is chosen. */
async function neverShown(settings: Settings, { train, test }: Digits, part: Part): Promise<void> {
  const metric = accuracy();
  const model = await trained(settings, part);
  const [labels, transferSamples] = [await labelsOf(test), take(train, 10_000)];
  const rightOf = async (candidate: Model, samples: IndexedDataset): Promise<Float64Array> =>
    (await evaluate(engine, candidate, samples, metric, { batch: 500, threads: settings.threads })).rows;
  const printErrors = async (candidate: Model, what: string): Promise<void> => {
    const rows = await rightOf(candidate, test);
    const threes = rows.filter((_, sample) => labels[sample] === 3);
    const wrong = (list: Float64Array): string => integer(list.length - list.reduce((sum, right) => sum + right, 0));
    line(`  ${what}: ${wrong(rows)} errors, ${wrong(threes)} of them on the ${threes.length} threes`);
  };
  await printErrors(model, "no 3 in the transfer set (published: 206 errors, 133 of them on 1,010 threes)");
  let best = { right: -1, shift: 0 };
  for (let shift = 0; shift <= 8; shift += 0.5) {
    const right = meanOf(await rightOf(await shiftedBias(model, 3, shift), transferSamples));
    if (right > best.right) best = { right, shift };
  }
  const shifted = await shiftedBias(model, 3, best.shift);
  await printErrors(
    shifted,
    `bias of 3 raised by ${best.shift}, by ${transferSamples.count} training images (published: 109, 14)`,
  );
}

async function shiftedBias(model: Model, digit: number, shift: number): Promise<Model> {
  const candidate = model.clone();
  const bias = candidate.graph.value("fc3.bias");
  const stored = await bias?.tensor?.read();
  if (bias === undefined || stored?.type !== "float32") throw new Error("The student has no fc3.bias.");
  bias.tensor = inMemory(
    float32(
      stored.dims,
      stored.data.map((entry, at) => (at === digit ? entry + shift : entry)),
    ),
  );
  return candidate;
}

async function without(data: IndexedDataset, digit: number): Promise<IndexedDataset> {
  const labels = await labelsOf(data);
  const positions = Uint32Array.from(labels.flatMap((label, at) => (label === digit ? [] : [at])));
  return view(data, `${data.name} without ${digit}`, positions);
}

async function labelsOf(data: IndexedDataset): Promise<number[]> {
  const labels: number[] = [];
  for await (const { label } of data.batches({ size: 1_000 })) labels.push(...Array.from(label?.data ?? [], Number));
  return labels;
}
