/**
 * Trains a network from scratch with the public interface, and its counterpart in PyTorch (bench/peers/learn_networks.py): the same initial
 * weights, samples and recipe, but a different order of the samples. Both are evaluated on the same test samples, and compared per sample.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Batch, Model } from "pith";
import { type Preprocessing, preprocess } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, compareRows, type Estimate, estimate, evaluate } from "pith/evaluate";
import { train } from "pith/train";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import type { ImageInput } from "../../src/data/images/preprocess.ts";
import { writeNpz } from "../lib/npz.ts";
import { oneCycle } from "../lib/one-cycle.ts";
import { line, points, share } from "../lib/print.ts";

/** Options of `train` as plain data, so that PyTorch can use the same. */
export type Recipe = Omit<
  Parameters<typeof train>[1],
  "data" | "loss" | "validation" | "metric" | "schedule" | "optimizer"
> & { readonly optimizer: "sgd" | "adam" | "adamw"; readonly schedule: "cosine" | "one-cycle" };

/** A network, its samples, its training recipe and its target. */
export interface FromScratch {
  readonly name: string;
  /** Short description, such as "LeNet-5 on MNIST". */
  readonly what: string;
  readonly recipe: Recipe;
  readonly seeds: readonly number[];
  build(seed: number): Model;
  /** Opens the stored samples; undefined if they are not available. */
  data(model: Model): Promise<{ readonly train: Dataset; readonly test: Dataset } | undefined>;
  /** Preprocessing of the stored images. */
  readonly preprocessing?: Preprocessing;
  /** Minimum accuracy; undefined if the target is relative to PyTorch. */
  readonly least?: number;
  /** Maximum drop below PyTorch's accuracy, as a share, between the means over the seeds. */
  readonly within?: number;
}

export interface Settings {
  readonly threads: number;
  /** Folder for the checkpoints and the files for PyTorch, with a subfolder for each run. */
  readonly folder: string;
  readonly python: string | undefined;
  readonly resume: boolean;
  /** Number of epochs for a trial run; undefined: as in the recipe. */
  readonly epochs: number | undefined;
  /** Noise added to the parameters of trained networks, as a share of the tensor's standard deviation. */
  readonly noise: number;
  readonly only: "ours" | "theirs" | undefined;
}

/** @returns whether no target was missed. */
export async function fromScratch(task: FromScratch, settings: Settings): Promise<boolean> {
  const recipe = settings.epochs === undefined ? task.recipe : { ...task.recipe, epochs: settings.epochs };
  line(`${task.name}: ${task.what}, threads ${settings.threads}, ${settingsText(recipe)}`);
  const figures: { readonly own: number; readonly other: number | undefined }[] = [];
  for (const seed of task.seeds) {
    const model = task.build(seed);
    const data = await task.data(model);
    if (data === undefined) {
      line("  skipped: its data is not at hand");
      return true;
    }
    const files = join(settings.folder, `${task.name}-${seed}`);
    mkdirSync(files, { recursive: true });
    const before = await storedNumbers(model);
    const pithResult =
      settings.only === "theirs"
        ? undefined
        : await ours(task, recipe, seed, model, data, { ...settings, folder: files });
    if (settings.python === undefined || settings.only === "ours") {
      if (pithResult !== undefined) figures.push({ own: pithResult.value, other: undefined });
      continue;
    }
    await writeNpz(join(files, "weights.npz"), before);
    await writeNpz(join(files, "data.npz"), {
      ...(await columns(data.train, "train.")),
      ...(await columns(data.test, "test.")),
    });
    const { mean, std, scale } = task.preprocessing ?? { mean: [0], std: [1], scale: 1 };
    const peerRecipe = { ...recipe, network: task.name, seed, threads: settings.threads, mean, std, scale };
    writeFileSync(join(files, "recipe.json"), JSON.stringify(peerRecipe));
    const peerResult = await theirs(settings.python, files, seed, settings.resume);
    if (pithResult === undefined) continue;
    figures.push({ own: pithResult.value, other: peerResult.value });
    const { difference } = compareRows(accuracy(), peerResult.rows, pithResult.rows);
    line(`  seed ${seed}: ours is PyTorch's ${points(difference)} points, paired by sample`);
  }
  return conclude(task, figures);
}

interface Reached {
  readonly value: number;
  readonly rows: Float64Array;
}

async function ours(
  task: FromScratch,
  recipe: Recipe,
  seed: number,
  model: Model,
  stored: { readonly train: Dataset; readonly test: Dataset },
  { threads, folder, resume }: Settings,
): Promise<Reached> {
  const [input] = model.graph.feeds;
  const { preprocessing } = task;
  const ready = (data: Dataset): Dataset =>
    preprocessing === undefined || input === undefined
      ? data
      : preprocess(data, input satisfies ImageInput, preprocessing);
  const kept = resume ? { checkpoint: join(folder, "checkpoint"), resume: true } : {};
  const log = journal(join(folder, "pith.log"), `  Pith, seed ${seed}: `, resume);
  const { history } = await train(
    model,
    {
      ...recipe,
      ...kept,
      schedule: recipe.schedule === "cosine" ? "cosine" : oneCycle,
      data: ready(stored.train),
      threads,
    },
    { seed, log: ({ id, text }) => (id === "epoch" ? log.say(text) : undefined) },
  );
  const judged = await evaluate(createEngine(), model, ready(stored.test), accuracy(), { batch: 100, threads });
  const seconds = history.reduce((sum, epoch) => sum + epoch.seconds, 0);
  line(`  Pith, seed ${seed}: ${figureText(judged.estimate, seconds)}`);
  return { value: judged.estimate.value, rows: judged.rows };
}

/** Runs PyTorch's side. Its last line is "result", the seconds, and a 1 (correct) or 0 for each test sample. */
async function theirs(python: string, folder: string, seed: number, resume: boolean): Promise<Reached> {
  const log = journal(join(folder, "pytorch.log"), `  PyTorch, seed ${seed}: `, resume);
  const program = new URL("../peers/learn_networks.py", import.meta.url).pathname;
  const words = [program, folder, ...(resume ? ["--resume"] : [])];
  // Threads that spin while they wait slow down all other threads on a shared machine.
  const env = { ...process.env, OMP_WAIT_POLICY: "PASSIVE" };
  const child = spawn(python, words, { stdio: ["ignore", "pipe", "inherit"], env });
  let last = "";
  // The script evaluates a finished training again, which takes seconds, because only the script knows whether it used this recipe.
  for await (const text of createInterface({ input: child.stdout })) {
    last = text;
    log.say(text);
  }
  const [, seconds = "", right = ""] = last.split(" ");
  if (!last.startsWith("result ") || right === "") throw new Error("PyTorch came to no result.");
  const rows = Float64Array.from(right, Number);
  const figure = estimate(accuracy(), rows);
  line(`  PyTorch, seed ${seed}: ${figureText(figure, Number(seconds))}`);
  return { value: figure.value, rows };
}

function figureText(figure: Estimate, seconds: number): string {
  return `accuracy ${share(figure)}, n = ${figure.count}, ${(seconds / 60).toFixed(1)} minutes`;
}

/** Prints lines and keeps them in a file, so that a resumed run prints the earlier lines again. */
function journal(path: string, prefix: string, resume: boolean): { say(text: string): void } {
  const before = resume && existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
  const print = (text: string): void => (text.startsWith("result ") ? undefined : line(prefix + text));
  for (const text of before) print(text);
  if (before.length === 0) writeFileSync(path, "");
  return {
    say(text) {
      appendFileSync(path, `${text}\n`);
      print(text);
    },
  };
}

/** Prints the results. @returns whether no target was missed. */
function conclude(
  { name, seeds, least, within }: FromScratch,
  figures: readonly { own: number; other: number | undefined }[],
): boolean {
  const [first] = figures;
  if (first === undefined) return true;
  const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
  const pithMean = mean(figures.map((each) => each.own));
  const suffix = seeds.length === 1 ? "" : `, mean over ${figures.length} seeds`;
  const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
  const enough = least === undefined || pithMean >= least;
  if (least !== undefined)
    line(`${name}: ${percent(pithMean)}${suffix}; at least ${percent(least)}: ${enough ? "met" : "MISSED"}`);
  const peerFigures = figures.flatMap(({ other }) => other ?? []);
  if (within === undefined || peerFigures.length < figures.length) return enough;
  const difference = pithMean - mean(peerFigures);
  line(
    `${name}: ${percent(pithMean)}, PyTorch ${percent(mean(peerFigures))}${suffix}: ${(100 * difference).toFixed(2)} points; ` +
      `within ${(100 * within).toFixed(1)}: ${Math.abs(difference) <= within ? "met" : difference > 0 ? "met, better" : "MISSED"}`,
  );
  return enough && difference >= -within;
}

function settingsText(recipe: Recipe): string {
  return Object.entries(recipe)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

/** Returns the stored parameters and statistics, in the order in which the modules created them. */
async function storedNumbers(model: Model): Promise<Batch> {
  const tensors: [string, Awaited<ReturnType<typeof readTensor>>][] = [];
  for (const value of model.graph.values())
    if (value.role?.kind === "parameter" && value.tensor !== undefined)
      tensors.push([value.name, await readTensor(value.tensor)]);
  return Object.fromEntries(tensors);
}

function readTensor(tensor: { read(): Promise<Batch[string]> }): Promise<Batch[string]> {
  return tensor.read();
}

/** Returns all samples of a dataset in order, by prefixed input name. */
async function columns(data: Dataset, prefix: string): Promise<Batch> {
  if (!isIndexed(data)) throw new Error(`${data.name} is a stream.`);
  for await (const batch of data.batches({ size: data.count }))
    return Object.fromEntries(Object.entries(batch).map(([name, dense]) => [`${prefix}${name}`, dense]));
  throw new Error(`${data.name} has no samples.`);
}
