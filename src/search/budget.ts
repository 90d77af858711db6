import { integer } from "../core/numbers.ts";
import { secondsSince } from "../runtime/run/elapsed.ts";

export interface BudgetOptions {
  /** Duration of the search (10). */
  readonly minutes?: number | undefined;
  /** Maximum number of candidates instead of minutes. The result is then independent of the machine's speed, unless speeds are measured. */
  readonly steps?: number | undefined;
}

export const defaultMinutes = 10;
/** The last candidate is stopped at this multiple of the time limit. */
const maxOverrun = 1.1;

export class Budget {
  readonly minutes: number;
  /** Maximum number of candidates; infinite with a time limit. */
  readonly #maxTried: number;
  readonly #started = performance.now();
  #tried = 0;
  #spent = 0;

  constructor({ minutes = defaultMinutes, steps }: BudgetOptions) {
    this.minutes = steps === undefined ? minutes : Number.POSITIVE_INFINITY;
    this.#maxTried = steps ?? Number.POSITIVE_INFINITY;
  }

  spend(seconds: number): void {
    this.#tried++;
    this.#spent += seconds;
  }

  get isOpen(): boolean {
    return this.combinations > 0 && this.seconds > 0;
  }

  get combinations(): number {
    return this.#maxTried - this.#tried;
  }

  /** Wall-clock seconds left. The time of an earlier process of the same search counts, and so does unused parallel work. */
  get seconds(): number {
    return 60 * this.minutes - Math.max(this.#spent, secondsSince(this.#started));
  }

  /** Wall-clock seconds until the current candidate is stopped. */
  get untilLate(): number {
    return this.seconds + (maxOverrun - 1) * 60 * this.minutes;
  }

  /** "7 min left", "4 left" */
  get left(): string {
    if (Number.isFinite(this.#maxTried)) return `${integer(this.combinations)} left`;
    return `${integer(Math.max(1, Math.ceil(this.seconds / 60)))} min left`;
  }
}
