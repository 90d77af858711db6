/** Combinations that are tried in other processes: those of the round, which the search waits for, and where there is room others, which it may ask for later. */

export interface Ahead {
  /** Combinations at a time. */
  readonly jobs: number;
  /**
   * Waits until each of a round has been tried or has failed; the search reads their results from the store, and computes what is missing. Others are tried where there is
   * room, the first first, and go on afterwards. What is in neither any more is dropped, unless it has begun. The signal stops everything.
   */
  tryRound(round: readonly string[], others: readonly string[], signal: AbortSignal): Promise<void>;
  /** Stops what is being tried, and waits for its end. */
  close(): Promise<void>;
}

export interface PoolWork {
  readonly stop: AbortSignal;
  /** Whether it is in the round or among the others still: else it need not begin. */
  isWanted(): boolean;
}

export interface PoolOptions {
  readonly jobs: number;
  /** How many may run when one of the round, or of the others, is to begin. */
  room(isOfRound: boolean): number;
  /** Tries one. What it throws the next wait for a round throws, or `close`. @returns whether it is over; false: it was not wanted any more, and has not begun. */
  tryOne(name: string, work: PoolWork): Promise<boolean>;
}

export class Pool implements Ahead {
  readonly #options: PoolOptions;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #over = new Set<string>();
  #round: ReadonlySet<string> = new Set();
  #wanted: ReadonlySet<string> = new Set();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get jobs(): number {
    return this.#options.jobs;
  }

  async tryRound(round: readonly string[], others: readonly string[], signal: AbortSignal): Promise<void> {
    this.#round = new Set(round);
    this.#wanted = new Set([...round, ...others]);
    const stopped = new Promise<void>((resolve) => {
      const stop = (): void => {
        this.#stop.abort();
        resolve();
      };
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
    });
    this.#fill();
    while (!this.#stop.signal.aborted && round.some((name) => !this.#over.has(name)))
      await Promise.race([stopped, ...this.#running.values()]);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running.values());
  }

  #fill(): void {
    // Between two rounds what is free waits for the next.
    if (this.#stop.signal.aborted || [...this.#round].every((name) => this.#over.has(name))) return;
    for (const name of this.#wanted) {
      if (this.#over.has(name) || this.#running.has(name)) continue;
      if (this.#running.size < this.#options.room(this.#round.has(name))) this.#begin(name);
    }
  }

  #begin(name: string): void {
    const work: PoolWork = { stop: AbortSignal.any([this.#stop.signal]), isWanted: () => this.#wanted.has(name) };
    const end = async (): Promise<void> => {
      const isOver = await this.#options.tryOne(name, work);
      this.#running.delete(name);
      if (isOver) this.#over.add(name);
      this.#fill();
    };
    const ended = end();
    ended.catch(() => {});
    this.#running.set(name, ended);
  }
}
