/**
 * What trying a combination costs. By the estimates of its moves, in runs of a sample, which do not depend on the machine; and in seconds, by what the
 * same passes have taken here. Parts that an earlier combination has begun with are done.
 */
import { counted, waiting } from "../evaluate/numbers.ts";
import type { StepRecord } from "../report/data.ts";
import { type Combination, type CombinationPart, partsOf } from "./combinations.ts";

/** Beside that of moves and of judging, in runs of a sample. */
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
  #others: Taken;
  /** Seconds of the original for a sample: until a pass has been seen, its runs take as long. */
  readonly #usual: number;

  /** @param original what the original took for the samples that each combination is judged on. */
  constructor(original: { readonly samples: number; readonly seconds: number }) {
    const { samples, seconds } = original;
    this.#judged = samples;
    this.#usual = seconds / Math.max(1, samples);
    this.#others = { runs: samples, seconds };
  }

  /** @param seconds of all of it, sparing and judging included. */
  add(combination: Combination, steps: readonly StepRecord[], seconds: number): void {
    let rest = seconds;
    for (const [at, { pass, runs }] of partsOf(combination).entries()) {
      // What no step is takes the rest.
      const own = steps[at]?.seconds ?? (combination.sparing === undefined ? undefined : rest);
      if (own === undefined) continue;
      if (!this.#isDone(combination, at)) {
        const { runs: before, seconds: spent } = this.#byPass.get(pass) ?? nothing;
        this.#byPass.set(pass, { runs: before + runs, seconds: spent + own });
        rest -= own;
      }
      this.#done.add(prefixOf(combination, at));
    }
    if (combination.sparing !== undefined) return;
    const { runs, seconds: spent } = this.#others;
    this.#others = { runs: runs + this.#judged + overhead, seconds: spent + Math.max(0, rest) };
  }

  /** In runs of a sample. */
  runsOf(combination: Combination): number {
    return this.#judged + overhead + this.#left(combination).reduce((sum, { runs }) => sum + runs, 0);
  }

  secondsOf(combination: Combination): number {
    const { runs: judged, seconds } = this.#others;
    const judging = (seconds / Math.max(1, judged)) * (this.#judged + overhead);
    return this.#left(combination).reduce((sum, { pass, runs }) => {
      const known = this.#byPass.get(pass);
      return sum + runs * (known === undefined || known.runs === 0 ? this.#usual : known.seconds / known.runs);
    }, judging);
  }

  /**
   * "10 minutes of search at most, about 12 minutes in all. 10 minutes are too short for most training-based candidates: `minutes: 30` includes some"
   * @param spent seconds that an earlier process of the same search has spent.
   * @param others seconds that the command takes before and after the search.
   */
  timeText(all: readonly Combination[], minutes: number, spent: number, others: number): string {
    const time = minutes < 1 ? counted(Math.round(60 * minutes), "second") : counted(minutes, "minute");
    const before = spent < 1 ? "" : `, of which ${counted(Math.round(spent), "second")} were spent before the stop`;
    const whole = waiting(Math.max(0, 60 * minutes - spent) + others);
    const most = `${time} of search at most${before}${whole === undefined ? "" : `, ${whole} in all with the final evaluation`}`;
    const isLong = (one: Combination): boolean => this.secondsOf(one) > 30 * minutes;
    const long = all.filter(isLong);
    if (long.length === 0) return most;
    const trained = all.filter(({ healing, training }) => [...healing, training].some((one) => one?.trains === true));
    const share = trained.filter(isLong).length > trained.length / 2 ? "most" : "some";
    const enough = Math.ceil((4 * Math.min(...long.map((one) => this.secondsOf(one)))) / 600) * 10;
    return `${most}. ${time} ${minutes === 1 ? "is" : "are"} too short for ${share} training-based candidates: \`minutes: ${enough}\` includes some`;
  }

  #left(combination: Combination): readonly CombinationPart[] {
    return partsOf(combination).filter((_, at) => !this.#isDone(combination, at));
  }

  #isDone(combination: Combination, at: number): boolean {
    return this.#done.has(prefixOf(combination, at));
  }
}

/** Its parts up to one of them, as a key. */
const prefixOf = (combination: Combination, at: number): string =>
  partsOf(combination)
    .slice(0, at + 1)
    .map(({ name }) => name)
    .join(", ");
