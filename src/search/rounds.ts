/** Which combinations to try next: number formats alone first, then those that are expected to gain most for their work. */

import type { Objective } from "../recipe/objective.ts";
import type { Combination } from "./combinations.ts";
import type { Forecast } from "./forecast.ts";
import type { Scored } from "./record.ts";
import { timeText, type Work } from "./work.ts";

/** Combinations of a round. */
const ofRound = 3;
/** An expected gain below is not worth a try: 2 % of the bytes. */
const leastGain = 0.03;
/** By how much an expected figure may fall short, as a share of what is allowed. */
const slack = 0.25;

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
  #best: Scored | undefined;

  constructor(of: RoundsOptions) {
    this.#of = of;
  }

  get tried(): readonly Scored[] {
    return this.#tried;
  }

  /** Of least cost among those that the objective allows. */
  get best(): Scored | undefined {
    return this.#best;
  }

  /** @returns whether it is the best so far. */
  add(one: Scored): boolean {
    const { combination, attempt, figures, seconds } = one;
    const { work, forecast, objective } = this.#of;
    work.add(combination, attempt.variant.steps, seconds);
    forecast.add(one);
    this.#tried.push(one);
    if (figures === undefined || !attempt.usable || !objective.allows(figures)) return false;
    const best = this.#best?.figures;
    if (best !== undefined && objective.cost(figures) >= objective.cost(best)) return false;
    this.#best = one;
    return true;
  }

  /** First number formats alone, the cheapest first; then one for each family of structures. @param seconds that there are. */
  next(seconds: number): readonly Combination[] {
    const formats = this.#of.all.filter(
      ({ structure, training, sparing }) => (structure ?? training ?? sparing) === undefined,
    );
    // There may be none: `techniques: ["prune", "recover"]`.
    if (this.#tried.length === 0 && formats.length > 0)
      return formats.toSorted((a, b) => this.#of.work.runsOf(a) - this.#of.work.runsOf(b));
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

  /** Those that are expected to gain something in time, the best for their work first. */
  promising(seconds: number): readonly Combination[] {
    const { all, work, forecast, objective, isDone } = this.#of;
    const done = new Set(this.#tried.map(({ combination }) => combination.name));
    const best = this.#best?.figures;
    const found = all.flatMap((combination) => {
      if (done.has(combination.name)) return [];
      if (!isDone(combination.name) && work.secondsOf(combination) > seconds) return [];
      const figures = forecast.of(combination);
      if (figures === undefined || !objective.allows(figures, slack)) return [];
      const gain = best === undefined ? 1 : objective.cost(best) - objective.cost(figures);
      return gain < leastGain ? [] : [{ combination, worth: gain / work.runsOf(combination) }];
    });
    return found.toSorted((a, b) => b.worth - a.worth).map(({ combination }) => combination);
  }

  /** "10 minutes at most. 120 of 480 combinations …" */
  timeText(minutes: number): string {
    const { all, work } = this.#of;
    const seconds = all.map((one) => work.secondsOf(one));
    return timeText(minutes, seconds);
  }
}
