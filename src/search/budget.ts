/** What a search may take: minutes, or a number of combinations. */
import { secondsSince } from "../evaluate/elapsed.ts";
import { integer } from "../evaluate/numbers.ts";

export interface BudgetOptions {
  /** How long to search (10). */
  readonly minutes?: number | undefined;
  /** Combinations at most, in place of minutes: the result does not depend on how fast the machine is then, unless speeds are asked for. */
  readonly steps?: number | undefined;
}

export const usualMinutes = 10;
/** The last combination is stopped when it takes so many times the minutes that there are. */
const mostOver = 1.1;

export class Budget {
  readonly minutes: number;
  /** Combinations at most; infinite where minutes count. */
  readonly #most: number;
  readonly #started = performance.now();
  #tried = 0;
  #spent = 0;

  constructor({ minutes = usualMinutes, steps }: BudgetOptions) {
    this.minutes = steps === undefined ? minutes : Number.POSITIVE_INFINITY;
    this.#most = steps ?? Number.POSITIVE_INFINITY;
  }

  /** Counts a combination that was tried. @param seconds of wall-clock time. */
  spend(seconds: number): void {
    this.#tried++;
    this.#spent += seconds;
  }

  get isOpen(): boolean {
    return this.combinations > 0 && this.seconds > 0;
  }

  /** Combinations that are left. */
  get combinations(): number {
    return this.#most - this.#tried;
  }

  /** Seconds on the clock that are left. What an earlier process of the same search spent counts, and so do combinations that were tried ahead in vain. */
  get seconds(): number {
    return 60 * this.minutes - Math.max(this.#spent, secondsSince(this.#started));
  }

  /** Seconds on the clock until what is being tried is stopped. */
  get untilLate(): number {
    return this.seconds + (mostOver - 1) * 60 * this.minutes;
  }

  /** "7 min left", "4 left" */
  get left(): string {
    if (Number.isFinite(this.#most)) return `${integer(this.combinations)} left`;
    return `${integer(Math.max(1, Math.ceil(this.seconds / 60)))} min left`;
  }
}
