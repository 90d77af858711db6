/** Which combinations to try next: number formats alone first, then those that are expected to gain most for their work. */

import type { Objective } from "../recipe/objective.ts";
import type { Combination } from "./combinations.ts";
import type { Forecast } from "./forecast.ts";
import { isUsable, type Scored } from "./record.ts";
import type { Work } from "./work.ts";

/** Combinations of a round. */
const ofRound = 3;
/** An expected gain below is not worth a try: 2 % of the bytes. */
const leastGain = 0.03;

export interface RoundsOptions {
  readonly all: readonly Combination[];
  readonly objective: Objective;
  readonly forecast: Forecast;
  readonly work: Work;
  /** Whether an earlier search has tried it. */
  isDone(name: string): boolean;
}

export class Rounds {
  readonly #of: RoundsOptions;
  readonly #tried: Scored[] = [];
  /** Bytes beside those that were expected. */
  readonly #ratios: number[] = [];
  #best: Scored | undefined;

  constructor(of: RoundsOptions) {
    this.#of = of;
  }

  get tried(): readonly Scored[] {
    return this.#tried;
  }

  /** Of least cost among those that reach what the objective demands. */
  get best(): Scored | undefined {
    return this.#best;
  }

  /** @returns whether it is the best so far. */
  add(one: Scored): boolean {
    const { combination, attempt, seconds } = one;
    const { work, forecast, objective } = this.#of;
    work.add(combination, attempt.variant.steps, seconds);
    const expected = forecast.of(combination);
    if (expected !== undefined && isUsable(one)) this.#ratios.push(one.figures.bytes / expected.bytes);
    forecast.add({ ...one, isUnchanged: attempt.variant.refusedAs === "unchanged" });
    this.#tried.push(one);
    if (!isUsable(one) || objective.misses(one.figures) > 0) return false;
    const best = this.#best?.figures;
    if (best !== undefined && objective.cost(one.figures) >= objective.cost(best)) return false;
    this.#best = one;
    return true;
  }

  /** First number formats alone, the cheapest first; then one for each family of structures. @param seconds that there are. */
  next(seconds: number): readonly Combination[] {
    if (this.#tried.length === 0) {
      const formats = this.#formats();
      // There may be none: `techniques: ["prune", "recover"]`, or a size that none comes near.
      if (formats.length > 0) return formats.toSorted((a, b) => this.#of.work.runsOf(a) - this.#of.work.runsOf(b));
    }
    const families = new Set<string | undefined>();
    const round: Combination[] = [];
    for (const combination of this.promising(seconds)) {
      if (round.length === ofRound) break;
      const family = combination.structure?.family;
      if (families.has(family)) continue;
      families.add(family);
      round.push(combination);
    }
    return round;
  }

  /**
   * Those that are expected to gain something in time, the best for their work first. Until something reaches what is demanded: those that are expected to
   * reach it, if their bytes exceed what is expected of them as much as before, the cheapest first; where none is, those that are expected to come nearer than all before,
   * or are of a family that was not tried, the nearest first.
   */
  promising(seconds: number): readonly Combination[] {
    const { all, work, forecast, objective, isDone } = this.#of;
    const done = new Set(this.#tried.map(({ combination }) => combination.name));
    // What is expected of a family that was never tried is the least certain.
    const families = new Set(this.#tried.map(({ combination: { structure } }) => structure?.family));
    const [best, excess] = [this.#best?.figures, this.#excess];
    const nearest = Math.min(...this.#tried.flatMap((one) => (isUsable(one) ? [objective.misses(one.figures)] : [])));
    const found = all.flatMap((combination) => {
      if (done.has(combination.name)) return [];
      if (!isDone(combination.name) && work.secondsOf(combination) > seconds) return [];
      const figures = forecast.of(combination);
      if (figures === undefined) return [];
      const runs = work.runsOf(combination);
      if (best === undefined) {
        const misses = objective.misses({ ...figures, bytes: figures.bytes * excess });
        if (misses <= objective.slack) return [{ combination, misses: 0, worth: 1 / runs }];
        const isNew = combination.structure !== undefined && !families.has(combination.structure.family);
        return isNew || misses < nearest - leastGain ? [{ combination, misses, worth: 1 / runs }] : [];
      }
      const gain = objective.cost(best) - objective.cost(figures);
      return objective.misses(figures) > objective.slack || gain < leastGain
        ? []
        : [{ combination, misses: 0, worth: gain / runs }];
    });
    const reaching = found.filter(({ misses }) => misses === 0);
    return (reaching.length > 0 ? reaching : found)
      .toSorted((a, b) => a.misses - b.misses || b.worth - a.worth)
      .map(({ combination }) => combination);
  }

  /** How many times as large results are as was expected, the geometric mean; 1 where they are smaller. */
  get #excess(): number {
    const logs = this.#ratios.map(Math.log);
    return Math.max(1, Math.exp(logs.reduce((sum, log) => sum + log, 0) / Math.max(1, logs.length)));
  }

  /** Number formats by themselves, but for those that are known to be too large for a target of size. Speeds are not known before. */
  #formats(): readonly Combination[] {
    const { all, forecast, objective } = this.#of;
    return all.filter((combination) => {
      if ((combination.structure ?? combination.training ?? combination.sparing) !== undefined) return false;
      const figures = forecast.of(combination);
      return figures !== undefined && objective.misses({ ...figures, speed: undefined }) <= objective.slack;
    });
  }
}
