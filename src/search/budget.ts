/** Limits a search by time or number of candidates. */
import { counted, integer } from "#ir";
import { secondsSince } from "../runtime/run/elapsed.ts";

export interface BudgetOptions {
  /** Duration of the search in minutes (default: 10). */
  readonly minutes?: number | undefined;
  /** Maximum number of candidates, instead of a time limit. */
  readonly steps?: number | undefined;
}

export const defaultMinutes = 10;
/** Factor on the time limit at which the running candidate is stopped. */
const maxOverrun = 1.1;

export const minutesText = (minutes: number): string =>
  minutes < 1 ? counted(Math.round(60 * minutes), "second") : counted(minutes, "minute");

export class Budget {
  readonly minutes: number;
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

  get secondsLeft(): number {
    return 60 * this.minutes - Math.max(this.#spentSeconds, secondsSince(this.#startTime));
  }

  get secondsUntilStop(): number {
    return this.secondsLeft + (maxOverrun - 1) * 60 * this.minutes;
  }

  /** Returns "7 min left" or "4 left" (candidates). */
  get leftText(): string {
    if (Number.isFinite(this.#maxCandidates)) return `${integer(this.candidatesLeft)} left`;
    return `${integer(Math.max(1, Math.ceil(this.secondsLeft / 60)))} min left`;
  }
}
