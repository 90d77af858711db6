/** Runs jobs speculatively in other processes. The search repeats the work and finds it in the shared store, so results do not depend on the jobs. */

export interface RoundContext {
  readonly signal: AbortSignal;
  progress?(done: number, total: number): void;
}

export interface JobPool {
  /** Number of parallel jobs, at least 1. It changes when workers of a job queue start or stop. */
  readonly jobs: number;
  /**
   * Starts the jobs of the round, and if there is capacity, those of `others`. Waits for the jobs of the round. A job that has not started is dropped
   * if a later call does not list it. @throws the error of a job.
   */
  runRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void>;
  /** Stops running jobs and waits until they have ended. @throws the error of a job. */
  close(): Promise<void>;
}

export interface PoolJob {
  readonly stopSignal: AbortSignal;
  /** Returns whether the last `runRound` lists the job. */
  isWanted(): boolean;
}

export interface PoolOptions {
  /** @param isOfRound whether the next job to start belongs to the round or to the others. */
  maxRunning(isOfRound: boolean): number;
  /** @returns false if the job was dropped before it started. */
  runOne(name: string, job: PoolJob): Promise<boolean>;
}

export class Pool implements JobPool {
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
    return Math.max(1, this.#options.maxRunning(false));
  }

  async runRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void> {
    const { signal } = context;
    this.#round = new Set(round);
    this.#requested = new Set([...round, ...others]);
    const stopPromise = new Promise<void>((resolve) => {
      const stop = (): void => {
        this.#stop.abort();
        resolve();
      };
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
    });
    this.#fill();
    for (;;) {
      const finishedJobs = round.filter((name) => this.#finished.has(name)).length;
      context.progress?.(finishedJobs, round.length);
      if (this.#stop.signal.aborted || finishedJobs === round.length) return;
      await Promise.race([stopPromise, ...this.#running.values()]);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const ends = await Promise.allSettled(this.#running.values());
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #fill(): void {
    // Between rounds no job starts, so that the next round finds free capacity.
    if (this.#stop.signal.aborted || [...this.#round].every((name) => this.#finished.has(name))) return;
    for (const name of this.#requested) {
      if (this.#finished.has(name) || this.#running.has(name)) continue;
      if (this.#running.size < this.#options.maxRunning(this.#round.has(name))) this.#begin(name);
    }
  }

  #begin(name: string): void {
    const job: PoolJob = { stopSignal: this.#stop.signal, isWanted: () => this.#requested.has(name) };
    const end = async (): Promise<void> => {
      const isOver = await this.#options.runOne(name, job);
      this.#running.delete(name);
      if (isOver) this.#finished.add(name);
      this.#fill();
    };
    const endPromise = end();
    endPromise.catch(() => {});
    this.#running.set(name, endPromise);
  }
}
