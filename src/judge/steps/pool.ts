/**
 * Jobs that other processes run ahead. The requesting process repeats the work and finds it in the shared store, so results do not depend on jobs.
 */

export interface RoundContext {
  readonly signal: AbortSignal;
  progress?(done: number, total: number): void;
}

export interface Ahead {
  /** The maximum number of parallel jobs, which changes as queue workers come and go. */
  readonly jobs: number;
  /**
   * Waits until every job of the round has ended, successfully or not. The others start in order if there is room, and can outlast the round.
   * Jobs that no later call lists are dropped unless they have started. The signal stops all jobs; progress counts finished ones of the round.
   * @throws what a job threw.
   */
  doRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void>;
  /** Stops running jobs and waits for their end. @throws what a job threw. */
  close(): Promise<void>;
}

export interface PoolJob {
  readonly stop: AbortSignal;
  /** Returns whether the last `doRound` lists the job: otherwise it need not start. */
  isWanted(): boolean;
}

export interface PoolOptions {
  /** Returns the maximum number of running jobs for starting one of the round, or another. */
  room(isOfRound: boolean): number;
  /** Runs one job. The next `doRound` or `close` throws its error. @returns false if the job was dropped before it started. */
  doOne(name: string, job: PoolJob): Promise<boolean>;
}

export class Pool implements Ahead {
  readonly #options: PoolOptions;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #finished = new Set<string>();
  #round: ReadonlySet<string> = new Set();
  #requested: ReadonlySet<string> = new Set();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  get jobs(): number {
    return Math.max(1, this.#options.room(false));
  }

  async doRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void> {
    const { signal } = context;
    this.#round = new Set(round);
    this.#requested = new Set([...round, ...others]);
    const stopped = new Promise<void>((resolve) => {
      const stop = (): void => {
        this.#stop.abort();
        resolve();
      };
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
    });
    this.#fill();
    for (;;) {
      const done = round.filter((name) => this.#finished.has(name)).length;
      context.progress?.(done, round.length);
      if (this.#stop.signal.aborted || done === round.length) return;
      await Promise.race([stopped, ...this.#running.values()]);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running.values());
  }

  #fill(): void {
    // Between rounds, free capacity waits for the next round.
    if (this.#stop.signal.aborted || [...this.#round].every((name) => this.#finished.has(name))) return;
    for (const name of this.#requested) {
      if (this.#finished.has(name) || this.#running.has(name)) continue;
      if (this.#running.size < this.#options.room(this.#round.has(name))) this.#begin(name);
    }
  }

  #begin(name: string): void {
    const job: PoolJob = { stop: this.#stop.signal, isWanted: () => this.#requested.has(name) };
    const end = async (): Promise<void> => {
      const isOver = await this.#options.doOne(name, job);
      this.#running.delete(name);
      if (isOver) this.#finished.add(name);
      this.#fill();
    };
    const ended = end();
    ended.catch(() => {});
    this.#running.set(name, ended);
  }
}
