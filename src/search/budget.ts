/** Limits a search by time or number of candidates, and tells how much is left. */
import { integer } from "#ir";
import { secondsSince } from "../runtime/run/elapsed.ts";

export interface BudgetOptions {
  /** Duration of the search in minutes (default: 10). */
  readonly minutes?: number | undefined;
  /** Maximum number of candidates, instead of a time limit. If the objective does not measure speed, every machine then finds the same result. */
  readonly steps?: number | undefined;
}

export const defaultMinutes = 10;
/** Factor on the time limit. Once a result meets the objective, the running candidate is stopped when this longer time has passed. */
const maxOverrun = 1.1;

export class Budget {
  readonly minutes: number;
  /** Maximum number of candidates; infinite with a time limit. */
  readonly #maxCandidates: number;
  readonly #startTime = performance.now();
  #triedCount = 0;
  #spentSeconds = 0;

  constructor({ minutes = defaultMinutes, steps }: BudgetOptions) {
    this.minutes = steps === undefined ? minutes : Number.POSITIVE_INFINITY;
    this.#maxCandidates = steps ?? Number.POSITIVE_INFINITY;
  }

  spend(seconds: number): void {
    this.#triedCount++;
    this.#spentSeconds += seconds;
  }

  get isOpen(): boolean {
    return this.candidatesLeft > 0 && this.secondsLeft > 0;
  }

  get candidatesLeft(): number {
    return this.#maxCandidates - this.#triedCount;
  }

  /** Remaining wall-clock seconds: the limit minus the longer of the time since this object was made and the time spent on candidates. */
  get secondsLeft(): number {
    return 60 * this.minutes - Math.max(this.#spentSeconds, secondsSince(this.#startTime));
  }

  /** Wall-clock seconds after which the running candidate is stopped. */
  get secondsUntilStop(): number {
    return this.secondsLeft + (maxOverrun - 1) * 60 * this.minutes;
  }

  /** Text of the remaining budget: "7 min left" or "4 left" (candidates). */
  get leftText(): string {
    if (Number.isFinite(this.#maxCandidates)) return `${integer(this.candidatesLeft)} left`;
    return `${integer(Math.max(1, Math.ceil(this.secondsLeft / 60)))} min left`;
  }
}
