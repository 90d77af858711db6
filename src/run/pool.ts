/**
 * Jobs that other processes do ahead. A job leaves what it computes in the store that all processes share. The process that asked for it then does the same work
 * itself and finds it done, so its result does not depend on how many jobs there were, or whether one failed.
 */

export interface RoundContext {
  readonly signal: AbortSignal;
  progress?(done: number, total: number): void;
}

export interface Ahead {
  /** Jobs at a time. It changes as the workers of a queue come and go. */
  readonly jobs: number;
  /**
   * Waits until every job of the round has ended, whether it succeeded or failed. The other jobs begin where there is room, in their order, and go on after the round. A job
   * that is in neither list of a later call is dropped, unless it has begun. The signal stops all jobs; progress counts those of the round that are over.
   * @throws what a job threw.
   */
  doRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void>;
  /** Stops the jobs that run, and waits until they have ended. @throws what a job threw. */
  close(): Promise<void>;
}

export interface PoolJob {
  readonly stop: AbortSignal;
  /** Whether the last call of `doRound` names the job: if not, it need not begin. */
  isWanted(): boolean;
}

export interface PoolOptions {
  /** How many jobs may run when one of the round, or one of the others, is about to begin. */
  room(isOfRound: boolean): number;
  /** Does one job. The next `doRound`, or `close`, throws what this throws. @returns false where the job was dropped before it began. */
  doOne(name: string, job: PoolJob): Promise<boolean>;
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
    return Math.max(1, this.#options.room(false));
  }

  async doRound(round: readonly string[], others: readonly string[], context: RoundContext): Promise<void> {
    const { signal } = context;
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
    for (;;) {
      const done = round.filter((name) => this.#over.has(name)).length;
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
    // Between two rounds a free place waits for the next round.
    if (this.#stop.signal.aborted || [...this.#round].every((name) => this.#over.has(name))) return;
    for (const name of this.#wanted) {
      if (this.#over.has(name) || this.#running.has(name)) continue;
      if (this.#running.size < this.#options.room(this.#round.has(name))) this.#begin(name);
    }
  }

  #begin(name: string): void {
    const job: PoolJob = { stop: this.#stop.signal, isWanted: () => this.#wanted.has(name) };
    const end = async (): Promise<void> => {
      const isOver = await this.#options.doOne(name, job);
      this.#running.delete(name);
      if (isOver) this.#over.add(name);
      this.#fill();
    };
    const ended = end();
    ended.catch(() => {});
    this.#running.set(name, ended);
  }
}
