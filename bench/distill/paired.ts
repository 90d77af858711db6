/**
 * A student that learns from its teacher beside the same student that learns alone: same start, same samples in the same order. The learning
 * rate of each is the best of the same few, chosen on samples that are kept apart; then both learn from all samples, once for each seed.
 */

import type { Model } from "pith";
import type { IndexedDataset } from "pith/data";
import { evaluate, type Metric } from "pith/evaluate";
import type { Loss } from "pith/train";
import { meanInterval, moments, pairedMeans } from "../../src/core/math/interval.ts";
import type { Dataset } from "../../src/data/batches/types.ts";
import { figureOf, line, points, target } from "../lib/print.ts";
import { engine, type Settings, type Training, trained } from "./kept.ts";

/** How a student learns. */
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
  /** What all arms share. */
  readonly training: Omit<Training, "data" | "loss" | "learningRate">;
  readonly data: IndexedDataset;
  /** What rates are chosen by. */
  readonly choice: { readonly data: IndexedDataset; readonly test: Dataset; readonly training?: Partial<Training> };
  readonly tests: Readonly<Record<string, Dataset>>;
  student(seed: number): Model | Promise<Model>;
  arms(seed: number): Promise<readonly Arm[]>;
}

/** Of each arm: rows of each sample, a list for each seed. */
export type Rows = Readonly<Record<string, readonly Float64Array[]>>;

/** What was found on each of the tests. */
export async function compared(settings: Settings, experiment: Experiment): Promise<Readonly<Record<string, Rows>>> {
  const { name, seeds, rates, training, data, choice, tests, student, arms, metric } = experiment;
  const { threads } = settings;
  const judged = (model: Model, samples: Dataset) => evaluate(engine, model, samples, metric, { batch: 250, threads });
  const learnt = ({ name: arm, loss, training: own }: Arm, seed: number, more: Partial<Training>, what: string) =>
    trained(settings, {
      name: `${name}-${arm.replaceAll(/\W+/g, "-")}-${what}`,
      seed,
      build: () => student(seed),
      training: { ...training, ...(loss === undefined ? {} : { loss }), ...own, data, ...more },
    });
  const [first = 1] = seeds;
  const chosen = new Map<string, number>();
  for (const arm of await arms(first)) {
    let best: number | undefined;
    for (const learningRate of rates) {
      const more = { ...choice.training, data: choice.data, learningRate };
      const model = await learnt(arm, first, more, `rate-${learningRate}`);
      const found = await judged(model, choice.test);
      line(`    ${figureOf(found, metric)}, of samples kept apart`);
      const { value } = found.estimate;
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
        const found = await judged(model, samples);
        line(`    ${test}: ${figureOf(found, metric)}`);
        const { [arm.name]: before = [] } = rows[test] ?? {};
        rows[test] = { ...rows[test], [arm.name]: [...before, found.rows] };
      }
    }
  }
  return rows;
}

/** Prints what the distilled student gains over each of the others, in points; whether it is shown to over the student alone, by seeds and by samples. */
export function isGained(rows: Rows = {}): boolean {
  const { distilled: own = [], ...others } = rows;
  let shown = false;
  for (const [name, other] of Object.entries(others)) {
    const differences = Float64Array.from(own, (list, index) => meanOf(list) - meanOf(other[index] ?? list));
    const bySeeds = meanInterval(differences);
    const bySamples = pairedMeans(meanRows(other), meanRows(own));
    const each = Array.from(differences, (value) => (100 * value).toFixed(2)).join(" ");
    line(`  distilled over ${name}: ${points(bySeeds)} points over ${own.length} seeds (Student's t; ${each})`);
    line(`    ${points(bySamples)} over ${bySamples.count} samples, paired, seeds as they are`);
    if (name === "alone") shown = bySeeds.low > 0 && bySamples.low > 0;
  }
  line(`  ${target("the lower bound of the gain over the student alone is above 0", shown, shown)}`);
  return shown;
}

export function meanOf(values: ArrayLike<number>): number {
  return moments(Float64Array.from(values)).mean;
}

/** For each sample the mean over the seeds. */
export function meanRows(all: readonly Float64Array[]): Float64Array {
  const [first = new Float64Array()] = all;
  return first.map((_, sample) => meanOf(all.map((rows) => rows[sample] ?? 0)));
}
