/**
 * Prefetched batches.
 *
 * A run of the model blocks the JavaScript thread, so batches are prepared in worker threads. How many are started is measured. The first batches
 * are prepared on demand. Where the consumer waits for more than 2 % of the time, and that has cost as much as starting a thread, threads are
 * started: with a wait w and a use u per batch, w/u of them keep up, and where n threads do not, n·(w + u)/u would; never more than the machine has
 * cores. At most two batches per thread are prepared ahead.
 *
 * Batches come in their order, and are the same to the bit in whichever thread they are prepared (see `pending-batch.ts`). What threads cannot do (a change that
 * is a function, a browser) is done here.
 */
import { threadCount } from "#platform";
import type { Batch } from "../tensor/types.ts";
import { bytesOfBatch } from "./batch-memory.ts";
import { isIndexed } from "./indexed.ts";
import { completeBatch, type PendingBatch, type PlacedChange, pendingBatches } from "./pending-batch.ts";
import { ownArrays } from "./rows.ts";
import type { BatchOptions, Dataset } from "./types.ts";
import { areWorkersStarting, holdWorkers, prepareInWorker, readyWorkers, startWorkers } from "./worker-pool.ts";

export interface Round extends BatchOptions {
  /** Batches at the beginning that are left out: they are not prepared, and not read where they need not be. */
  readonly skip?: number;
}

interface FeedOptions {
  /** Threads beside this one that prepare batches; unless said, as many as pay. */
  readonly threads?: number;
}

export interface Feed {
  /** The batches of the next round; the ones after are begun before it ends. */
  batches(): AsyncGenerator<Batch>;
  close(): Promise<void>;
}

/** A share of the time: less is not worth a thread. */
const mostWaiting = 0.02;
/** Milliseconds that starting a thread costs, about. */
const costOfStarting = 200;
/** Batches that are measured, at least; the first is not, in whose time a model is built. */
const measured = 2;
/** Bytes of batches under way: beyond it there are two, as many as it takes to prepare beside who uses them. */
const mostBytes = 2 ** 29;

/**
 * Reads rounds over a data set ahead of the use of their batches. The maker of a feed closes it.
 * @throws PithError on reading, what the data set throws, where the batch would have come.
 * @example
 * const feed = createFeed(data, [1, 2, 3].map((epoch) => ({ size: 128, shuffle: epoch })));
 * for (const _ of [1, 2, 3]) for await (const batch of feed.batches()) console.log(batch);
 * await feed.close();
 */
export function createFeed(dataset: Dataset, rounds: Iterable<Round>, options: FeedOptions = {}): Feed {
  return new ReadAhead(dataset, rounds, options);
}

/**
 * The batches of a data set, read ahead of who uses them.
 * @param options `threads`: how many beside this one prepare batches; unless said, as many as pay.
 * @throws PithError on reading, what the data set throws, where the batch would have come.
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
  /** Whether other threads can do a part: seen from the first batch. */
  #portable = false;
  /** Whether the rule said that what is done when it is asked for comes too late. */
  #late = false;
  #bytes = 1;
  #given = 0;
  #window = { count: 0, waited: 0, used: 0 };
  /** Batches to come that tell nothing: they were begun before the last change. */
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
    // Reading files, or over a network, needs no thread. A stream may use its arrays again for the next batch.
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
    // A failure is thrown where the batch is asked for; until then it must not count as unhandled.
    coming.catch(() => {});
    // What waits for `read` after `coming` does finds the batch sent off: a stream may use its arrays again then.
    this.#reading = read.catch(() => {});
    return coming;
  }

  async #prepare({ batch, changes }: PendingBatch): Promise<Batch> {
    this.#portable ||= this.#indexed ? changes.some(isPortable) : changes.slice(0, 1).some(isPortable);
    const threads = this.#threads();
    // What is read before the batch before it is used must not lie in the same arrays.
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
