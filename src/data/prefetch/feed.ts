/**
 * Prefetches batches in worker threads, because a model run blocks the JavaScript thread.
 *
 * Threads are started if the consumer waits more than 2 % of the time and that has cost as much as starting a thread. With a wait
 * w and a use u per batch, w/u threads keep up; if n do not, n·(w + u)/u are needed, up to the number of cores. At most two
 * batches per thread are prepared ahead. Batches keep their order and are bit-identical in any thread (`pending-batch.ts`).
 * Changes that threads cannot make (functions; in a browser) run here.
 */
import { threadCount } from "#platform";
import type { Batch } from "../../core/tensor/types.ts";
import { isIndexed } from "../batches/indexed.ts";
import { completeBatch, type PendingBatch, type PlacedChange, pendingBatches } from "../batches/pending-batch.ts";
import { ownArrays } from "../batches/rows.ts";
import type { BatchOptions, Dataset } from "../batches/types.ts";
import { bytesOfBatch } from "./batch-memory.ts";
import { areWorkersStarting, holdWorkers, prepareInWorker, readyWorkers, startWorkers } from "./worker-pool.ts";

export interface Round extends BatchOptions {
  /** Number of initial batches to skip without preparing, and if possible without reading, them. */
  readonly skip?: number;
}

interface FeedOptions {
  /** Number of additional threads; by default as many as pay off. */
  readonly threads?: number;
}

export interface Feed {
  /** Yields the batches of the next round; the following round is started before it ends. */
  batches(): AsyncGenerator<Batch>;
  close(): Promise<void>;
}

/** Share of the time; waiting less does not justify a thread. */
const mostWaiting = 0.02;
/** Approximate milliseconds to start a thread. */
const costOfStarting = 200;
/** Minimum number of measured batches; the first is excluded, because models are built during it. */
const measured = 2;
/** Bytes of batches in progress; above, only two are prepared. */
const mostBytes = 2 ** 29;

/**
 * Prefetches several rounds of a data set. The creator closes the feed.
 * @throws PithError on reading, the errors of the data set, at the batch concerned.
 * @example
 * const feed = createFeed(data, [1, 2, 3].map((epoch) => ({ size: 128, shuffle: epoch })));
 * for (const _ of [1, 2, 3]) for await (const batch of feed.batches()) console.log(batch);
 * await feed.close();
 */
export function createFeed(dataset: Dataset, rounds: Iterable<Round>, options: FeedOptions = {}): Feed {
  return new ReadAhead(dataset, rounds, options);
}

/**
 * Yields the batches of a data set with prefetching.
 * @param options `threads`: number of additional threads; by default as many as pay off.
 * @throws PithError on reading, the errors of the data set, at the batch concerned.
 * @example
 * for await (const batch of prefetched(data, { size: 64 })) console.log(batch);
 */
export async function* prefetched(
  dataset: Dataset,
  batches: BatchOptions,
  options: { readonly threads?: number } = {},
): AsyncGenerator<Batch> {
  const feed = createFeed(dataset, [batches], options);
  try {
    yield* feed.batches();
  } finally {
    await feed.close();
  }
}

type Read = PendingBatch | "end of round";

async function* readAll(dataset: Dataset, rounds: Iterable<Round>): AsyncGenerator<Read> {
  for (const { skip = 0, ...options } of rounds) {
    yield* pendingBatches(dataset, options, skip);
    yield "end of round";
  }
}

type Coming = Promise<Batch | "end of round">;

class ReadAhead implements Feed {
  readonly #source: AsyncGenerator<Read>;
  readonly #indexed: boolean;
  readonly #fixed: number | undefined;
  readonly #held = holdWorkers();
  readonly #queue: Coming[] = [];
  #reading: Promise<unknown> = Promise.resolve();
  #exhausted = false;
  #portable = false;
  #late = false;
  #bytes = 1;
  #given = 0;
  #window = { count: 0, waited: 0, used: 0 };
  /** Number of coming batches that were started before the last change and therefore are not measured. */
  #settling = 0;

  constructor(dataset: Dataset, rounds: Iterable<Round>, { threads }: FeedOptions) {
    this.#source = readAll(dataset, rounds);
    this.#indexed = isIndexed(dataset);
    this.#fixed = threads;
  }

  async *batches(): AsyncGenerator<Batch> {
    if (this.#fixed !== undefined) await startWorkers(this.#fixed);
    while (true) {
      const asked = performance.now();
      const batch = await this.#next();
      if (batch === "end of round") return;
      const given = performance.now();
      this.#bytes = Math.max(this.#bytes, bytesOfBatch(batch));
      yield batch;
      if (this.#given++ > 0 && this.#fixed === undefined) this.#measure(given - asked, performance.now() - given);
    }
  }

  async close(): Promise<void> {
    this.#exhausted = true;
    this.#held.release();
    await this.#source.return(undefined);
  }

  #next(): Coming {
    while (this.#queue.length <= this.#ahead() && !this.#exhausted) this.#queue.push(this.#begin());
    return this.#queue.shift() ?? Promise.resolve("end of round");
  }

  #ahead(): number {
    const threads = this.#threads();
    if (threads > 0) return Math.max(2, Math.min(2 * threads, Math.floor(mostBytes / this.#bytes)));
    // Reading needs no thread. A stream can reuse its arrays for the next batch.
    return this.#late && this.#indexed && !areWorkersStarting() ? 1 : 0;
  }

  #threads(): number {
    if (!this.#portable) return 0;
    return Math.min(readyWorkers(), this.#fixed ?? (this.#late ? Number.POSITIVE_INFINITY : 0));
  }

  #begin(): Coming {
    const read = this.#reading.then(() => this.#source.next());
    const coming = read.then(({ done, value }): Batch | "end of round" | Coming => {
      if (done === true) this.#exhausted = true;
      return done === true || value === "end of round" ? "end of round" : this.#prepare(value);
    });
    // The failure is thrown when the batch is requested; until then it must not count as unhandled.
    coming.catch(() => {});
    // Waiters for `read` continue after the batch is posted, when a stream can reuse its arrays.
    this.#reading = read.catch(() => {});
    return coming;
  }

  async #prepare({ batch, changes }: PendingBatch): Promise<Batch> {
    this.#portable ||= this.#indexed ? changes.some(isPortable) : changes.slice(0, 1).some(isPortable);
    const threads = this.#threads();
    // A batch that is read before the previous one is used must not share its arrays.
    if (threads === 0) return completeBatch({ batch: this.#late && this.#indexed ? ownArrays(batch) : batch, changes });
    let made = batch;
    let left = changes;
    while (left.length > 0) {
      const here = left.findIndex((change) => !isPortable(change));
      const there = here < 0 ? left.length : here;
      const prepared = there === 0 ? undefined : await prepareInWorker(made, left.slice(0, there), threads);
      made = prepared ?? (await completeBatch({ batch: made, changes: left.slice(0, Math.max(1, there)) }));
      left = left.slice(Math.max(1, there));
    }
    return made;
  }

  #measure(waited: number, used: number): void {
    if (areWorkersStarting()) this.#settling = 2 * threadCount();
    if (this.#settling-- > 0) return;
    this.#settling = 0;
    const now = this.#window;
    now.count++;
    now.waited += waited;
    now.used += used;
    const isLate = now.waited > mostWaiting * (now.waited + now.used);
    if (!isLate || now.count < measured || now.waited < costOfStarting) return;
    this.#window = { count: 0, waited: 0, used: 0 };
    this.#late = true;
    if (!this.#portable) return;
    const threads = this.#threads();
    const wanted = threads === 0 ? now.waited / now.used : (threads * (now.waited + now.used)) / now.used;
    this.#settling = 2 * threadCount();
    void startWorkers(Math.min(threadCount(), Math.max(threads + 1, Math.ceil(wanted))));
  }
}

function isPortable({ portable }: PlacedChange): boolean {
  return portable !== undefined;
}
