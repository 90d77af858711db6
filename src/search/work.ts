/**
 * Cost of trying a candidate: in runs of a sample, by the estimates of its moves, and in seconds, by the measured time of its passes. Shared first
 * steps of an earlier candidate are free.
 */
import { counted, waiting } from "../core/numbers.ts";
import type { StepRecord } from "../judge/record/data.ts";
import { type Combination, partsOf } from "./combinations.ts";

/** Share of the work of a format after another of its family: statistics of the original are kept, those of its rounded layers are not. */
const ofFamily = 0.5;
/** Overhead besides moves and evaluation, in runs of a sample. */
const overhead = 200;

interface Taken {
  readonly runs: number;
  readonly seconds: number;
}

const nothing: Taken = { runs: 0, seconds: 0 };

export class Work {
  readonly #judged: number;
  readonly #done = new Set<string>();
  readonly #byPass = new Map<string, Taken>();
  #evaluation: Taken;
  /** The original's seconds per sample, used for passes that were not timed yet. */
  readonly #usual: number;

  /** @param original its duration on the samples that evaluate each candidate. */
  constructor(original: { readonly samples: number; readonly seconds: number }) {
    const { samples, seconds } = original;
    this.#judged = samples;
    this.#usual = seconds / Math.max(1, samples);
    this.#evaluation = { runs: samples, seconds };
  }

  /** @param seconds includes the precision fallback and evaluation. */
  add(combination: Combination, steps: readonly StepRecord[], seconds: number): void {
    let rest = seconds;
    for (const [index, { pass }] of partsOf(combination).entries()) {
      // The precision fallback is not a step and gets the rest.
      const stepSeconds = steps[index]?.seconds ?? (combination.sparing === undefined ? undefined : rest);
      if (stepSeconds === undefined) continue;
      const runs = this.#runsOf(combination, index);
      if (!this.#done.has(prefixOf(combination, index))) {
        const { runs: before, seconds: spent } = this.#byPass.get(pass) ?? nothing;
        this.#byPass.set(pass, { runs: before + runs, seconds: spent + stepSeconds });
        rest -= stepSeconds;
      }
      this.#done.add(prefixOf(combination, index));
      this.#done.add(familyOf(combination, index));
    }
    if (combination.sparing !== undefined) return;
    const { runs, seconds: spent } = this.#evaluation;
    this.#evaluation = { runs: runs + this.#judged + overhead, seconds: spent + Math.max(0, rest) };
  }

  runsOf(combination: Combination): number {
    return partsOf(combination).reduce(
      (sum, _, index) => sum + this.#runsOf(combination, index),
      this.#judged + overhead,
    );
  }

  secondsOf(combination: Combination): number {
    const { runs: judged, seconds } = this.#evaluation;
    const judging = (seconds / Math.max(1, judged)) * (this.#judged + overhead);
    return partsOf(combination).reduce((sum, { pass }, index) => {
      const runs = this.#runsOf(combination, index);
      const timed = this.#byPass.get(pass);
      return sum + runs * (timed === undefined || timed.runs === 0 ? this.#usual : timed.seconds / timed.runs);
    }, judging);
  }

  /**
   * "10 minutes of search at most, about 12 minutes in all. 10 minutes are too short for most training-based candidates: `minutes: 30` includes some"
   * @param spent seconds of an earlier process of the same search.
   * @param otherSeconds seconds that the command takes before and after the search.
   */
  timeText(all: readonly Combination[], minutes: number, spent: number, otherSeconds: number): string {
    const time = minutes < 1 ? counted(Math.round(60 * minutes), "second") : counted(minutes, "minute");
    const before = spent < 1 ? "" : `, of which ${counted(Math.round(spent), "second")} were spent before the stop`;
    const totalTime = waiting(Math.max(0, 60 * minutes - spent) + otherSeconds);
    const limitText = `${time} of search at most${before}${totalTime === undefined ? "" : `, ${totalTime} in all with the final evaluation`}`;
    const isLong = (combination: Combination): boolean => this.secondsOf(combination) > 30 * minutes;
    const long = all.filter(isLong);
    if (long.length === 0) return limitText;
    const trained = all.filter(({ healing, numbers, training }) =>
      [...healing, numbers, training].some((offer) => offer?.trains === true),
    );
    const share = trained.filter(isLong).length > trained.length / 2 ? "most" : "some";
    const enough = Math.ceil((4 * Math.min(...long.map((combination) => this.secondsOf(combination)))) / 600) * 10;
    return `${limitText}. ${time} ${minutes === 1 ? "is" : "are"} too short for ${share} training-based candidates: \`minutes: ${enough}\` includes some`;
  }

  #runsOf(combination: Combination, index: number): number {
    const { runs = 0, loses } = partsOf(combination)[index] ?? {};
    if (this.#done.has(prefixOf(combination, index))) return 0;
    return loses !== undefined && this.#done.has(familyOf(combination, index)) ? ofFamily * runs : runs;
  }
}

const familyOf = (combination: Combination, index: number): string =>
  `${index === 0 ? "" : prefixOf(combination, index - 1)}: family ${partsOf(combination)[index]?.family}`;

const prefixOf = (combination: Combination, index: number): string =>
  partsOf(combination)
    .slice(0, index + 1)
    .map(({ name }) => name)
    .join(", ");
