/**
 * Compares a distilled student with the same student trained alone: same initial weights, same samples in the same order. Held-out samples choose
 * the learning rate of each from the same candidates. Both are then trained on all samples, once for each seed.
 */

import type { Model } from "pith";
import type { IndexedDataset } from "pith/data";
import { evaluate, type Metric } from "pith/evaluate";
import type { Loss } from "pith/train";
import { meanInterval, moments, pairedMeans } from "../../src/core/math/confidence-interval.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { figureOf, line, points, target } from "../lib/print.ts";
import { engine, type Settings, type Training, trained } from "./kept.ts";

/** A way to train a student. */
export interface Arm {
  readonly name: string;
  readonly loss?: Loss;
  readonly training?: Partial<Training>;
}

export interface Experiment {
  readonly name: string;
  readonly metric: Metric;
  readonly seeds: readonly number[];
  readonly rates: readonly number[];
  /** Options that all arms share. */
  readonly training: Omit<Training, "data" | "loss" | "learningRate">;
  readonly data: IndexedDataset;
  /** Samples and options of the runs that choose the learning rate. */
  readonly choice: { readonly data: IndexedDataset; readonly test: Dataset; readonly training?: Partial<Training> };
  readonly tests: Readonly<Record<string, Dataset>>;
  student(seed: number): Model | Promise<Model>;
  arms(seed: number): Promise<readonly Arm[]>;
}

/** For each arm and seed, the metric value of each sample. */
export type Rows = Readonly<Record<string, readonly Float64Array[]>>;

/** Trains every arm with every seed, and returns the rows of each arm by test. */
export async function compared(settings: Settings, experiment: Experiment): Promise<Readonly<Record<string, Rows>>> {
  const { name, seeds, rates, training, data, choice, tests, student, arms, metric } = experiment;
  const { threads } = settings;
  const judged = (model: Model, samples: Dataset) => evaluate(engine, model, samples, metric, { batch: 250, threads });
  const learnt = (
    { name: arm, loss, training: ownTraining }: Arm,
    seed: number,
    more: Partial<Training>,
    what: string,
  ) =>
    trained(settings, {
      name: `${name}-${arm.replaceAll(/\W+/g, "-")}-${what}`,
      seed,
      build: () => student(seed),
      training: { ...training, ...(loss === undefined ? {} : { loss }), ...ownTraining, data, ...more },
    });
  const [first = 1] = seeds;
  const chosen = new Map<string, number>();
  for (const arm of await arms(first)) {
    let best: number | undefined;
    for (const learningRate of rates) {
      const more = { ...choice.training, data: choice.data, learningRate };
      const model = await learnt(arm, first, more, `rate-${learningRate}`);
      const evaluation = await judged(model, choice.test);
      line(`    ${figureOf(evaluation, metric)}, of samples kept apart`);
      const { value } = evaluation.estimate;
      if (best !== undefined && (metric.better === "higher" ? value <= best : value >= best)) continue;
      best = value;
      chosen.set(arm.name, learningRate);
    }
  }
  line(`  learning rates: ${[...chosen].map(([arm, rate]) => `${arm} ${rate}`).join(", ")}`);
  const rows: Record<string, Record<string, Float64Array[]>> = {};
  for (const seed of seeds) {
    for (const arm of await arms(seed)) {
      const model = await learnt(arm, seed, { learningRate: chosen.get(arm.name) }, String(seed));
      for (const [test, samples] of Object.entries(tests)) {
        const evaluation = await judged(model, samples);
        line(`    ${test}: ${figureOf(evaluation, metric)}`);
        const { [arm.name]: before = [] } = rows[test] ?? {};
        rows[test] = { ...rows[test], [arm.name]: [...before, evaluation.rows] };
      }
    }
  }
  return rows;
}

/**
 * Prints the gain of the distilled student over each other arm, in points.
 * @returns whether the gain over the student trained alone is significant, both over seeds and over samples.
 */
export function isGained(rows: Rows = {}): boolean {
  const { distilled = [], ...baselines } = rows;
  let shown = false;
  for (const [name, other] of Object.entries(baselines)) {
    const differences = Float64Array.from(distilled, (list, index) => meanOf(list) - meanOf(other[index] ?? list));
    const bySeeds = meanInterval(differences);
    const bySamples = pairedMeans(meanRows(other), meanRows(distilled));
    const each = Array.from(differences, (value) => (100 * value).toFixed(2)).join(" ");
    line(`  distilled over ${name}: ${points(bySeeds)} points over ${distilled.length} seeds (Student's t; ${each})`);
    line(`    ${points(bySamples)} over ${bySamples.count} samples, paired, seeds as they are`);
    if (name === "alone") shown = bySeeds.low > 0 && bySamples.low > 0;
  }
  line(`  ${target("the lower bound of the gain over the student alone is above 0", shown, shown)}`);
  return shown;
}

export function meanOf(values: ArrayLike<number>): number {
  return moments(Float64Array.from(values)).mean;
}

/** Returns the mean over the seeds for each sample. */
export function meanRows(all: readonly Float64Array[]): Float64Array {
  const [first = new Float64Array()] = all;
  return first.map((_, sample) => meanOf(all.map((rows) => rows[sample] ?? 0)));
}
