/**
 * Prefetches batches in worker threads, because a model run blocks the JavaScript thread. Batches keep their order, and are bit-identical in any
 * thread (`indexed.ts`).
 *
 * If the consumer waits a time w for each batch and uses it for a time u, w/u threads suffice. If n threads do not suffice, n · (w + u) / u are
 * started, limited by the number of cores. Changes that other threads cannot apply, such as functions of users, run in this thread.
 */

import type { BatchOptions, Dataset, PendingBatch, PortableStep, PositionedChange } from "#batches";
import { bytesOfBatch, completeBatch, copyArrays, isIndexed, pendingBatches, transferable } from "#batches";
import type { Batch } from "#ir";
import { startThread, type Thread, threadCount } from "#platform";
import { moduleOf } from "#root";
import type { PrepareRequest } from "./preparing.ts";

export interface FeedRound extends BatchOptions {
  /** Number of batches to skip at the start. */
  readonly skip?: number;
}

interface FeedOptions {
  /** Additional threads. By default, their number follows from waiting times. */
  readonly threads?: number;
}

export interface Feed {
  /** Yields the batches of the next round. The first batches of the following round can be started before this round ends. */
  batches(): AsyncGenerator<Batch>;
  close(): Promise<void>;
}

/** Share of time that the consumer waits before a thread is started. */
const maxWaitShare = 0.02;
/** Approximate. */
const threadStartMs = 200;
/** The first batch is not measured, because the consumer still builds its models. */
const minMeasured = 2;
/** Bytes of batches in progress. Two batches are allowed even if they are larger. */
const maxBytes = 2 ** 29;

/** The caller closes the feed. @throws the dataset's errors on reading, at the batch that causes them. */
export function createFeed(
  dataset: Dataset,
  rounds: Iterable<FeedRound>,
  { threads: fixedThreads }: FeedOptions = {},
): Feed {
  const source = readRounds(dataset, rounds);
  const hasPositions = isIndexed(dataset);
  const release = holdWorkers();
  /** Batches in progress. An undefined batch marks the end of a round. */
  const queue: Promise<Batch | undefined>[] = [];
  let reading: Promise<unknown> = Promise.resolve();
  let [isExhausted, hasPortable, isLate] = [false, false, false];
  let maxBatchBytes = 1;
  let totals = { count: 0, waited: 0, used: 0 };
  /** Batches that are not measured yet: the first one, and those in progress when threads are started. */
  let unmeasured = 1;

  const usableThreads = (): number =>
    hasPortable ? Math.min(readyWorkers(), fixedThreads ?? (isLate ? Number.POSITIVE_INFINITY : 0)) : 0;

  const aheadCount = (): number => {
    const count = usableThreads();
    if (count > 0) return Math.max(2, Math.min(2 * count, Math.floor(maxBytes / maxBatchBytes)));
    // A stream can reuse its arrays, so only a dataset with positions is read ahead.
    return isLate && hasPositions && !areWorkersStarting() ? 1 : 0;
  };

  const prepare = async ({ batch, changes }: PendingBatch): Promise<Batch> => {
    hasPortable ||= (hasPositions ? changes : changes.slice(0, 1)).some(isPortable);
    const count = usableThreads();
    // A batch that is read before the previous one is used must not share arrays with it.
    if (count === 0) return completeBatch({ batch: isLate && hasPositions ? copyArrays(batch) : batch, changes });
    let prepared = batch;
    for (let next = 0; next < changes.length; ) {
      const localIndex = changes.findIndex((change, index) => index >= next && !isPortable(change));
      const end = localIndex < 0 ? changes.length : Math.max(localIndex, next + 1);
      const steps = changes.slice(next, end);
      const preparedInWorker = localIndex === next ? undefined : await prepareInWorker(prepared, steps, count);
      prepared = preparedInWorker ?? (await completeBatch({ batch: prepared, changes: steps }));
      next = end;
    }
    return prepared;
  };

  const startBatch = (): Promise<Batch | undefined> => {
    const pendingRead = reading.then(() => source.next());
    const prepared = pendingRead.then(({ done, value }) => {
      isExhausted ||= done === true;
      return value === undefined ? undefined : prepare(value);
    });
    // An error is thrown when its batch is requested. Until then, it must not count as unhandled.
    prepared.catch(() => {});
    // A stream can reuse its arrays after this batch has been posted to a thread.
    reading = pendingRead.catch(() => {});
    return prepared;
  };

  const measure = (waited: number, used: number): void => {
    if (areWorkersStarting()) unmeasured = 2 * threadCount();
    if (unmeasured > 0) {
      unmeasured--;
      return;
    }
    totals = { count: totals.count + 1, waited: totals.waited + waited, used: totals.used + used };
    const { count, waited: totalWait, used: totalUse } = totals;
    if (totalWait <= maxWaitShare * (totalWait + totalUse) || count < minMeasured || totalWait < threadStartMs) return;
    totals = { count: 0, waited: 0, used: 0 };
    isLate = true;
    if (!hasPortable) return;
    unmeasured = 2 * threadCount();
    void startWorkers(
      Math.min(threadCount(), usableThreads() + Math.ceil((Math.max(1, usableThreads()) * totalWait) / totalUse)),
    );
  };

  return {
    async *batches() {
      if (fixedThreads !== undefined) await startWorkers(fixedThreads);
      for (;;) {
        const requestTime = performance.now();
        while (queue.length <= aheadCount() && !isExhausted) queue.push(startBatch());
        const batch = await queue.shift();
        if (batch === undefined) return;
        const receiveTime = performance.now();
        maxBatchBytes = Math.max(maxBatchBytes, bytesOfBatch(batch));
        yield batch;
        if (fixedThreads === undefined) measure(receiveTime - requestTime, performance.now() - receiveTime);
      }
    },
    async close() {
      isExhausted = true;
      release();
      await source.return(undefined);
    },
  };
}

async function* readRounds(
  dataset: Dataset,
  rounds: Iterable<FeedRound>,
): AsyncGenerator<PendingBatch | undefined, undefined> {
  for (const { skip = 0, ...options } of rounds) {
    yield* pendingBatches(dataset, options, skip);
    yield undefined;
  }
}

const isPortable = ({ portable }: PositionedChange): boolean => portable !== undefined;

/** @param options `threads`: additional ones (default: by waiting times). @throws the dataset's errors on reading. */
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

interface PoolWorker {
  readonly thread: Thread;
  /** Numbers of the changes whose settings the thread has received. */
  readonly ids: Map<PortableStep, number>;
  isReady: boolean;
}

/** Idle threads end after this time, which is longer than the pause between two epochs. */
const idleTimeMs = 10_000;

let workers: PoolWorker[] = [];
/** Whether a thread has ended unexpectedly or could not start. */
let hasFailed = false;
let feedCount = 0;
let endTimer: ReturnType<typeof setTimeout> | undefined;

function liveWorkers(): readonly PoolWorker[] {
  const running = workers.filter(({ thread }) => !thread.hasEnded);
  hasFailed ||= running.length < workers.length;
  workers = running;
  return workers;
}

export const readyWorkers = (): number => liveWorkers().filter(({ isReady }) => isReady).length;
const areWorkersStarting = (): boolean => liveWorkers().some(({ isReady }) => !isReady);

/** Starts threads up to this number. Resolves when all have started or failed. */
async function startWorkers(count: number): Promise<void> {
  const starting: Promise<void>[] = [];
  while (liveWorkers().length < count && !hasFailed) starting.push(startWorker());
  await Promise.all(starting);
}

async function startWorker(): Promise<void> {
  let thread: Thread | undefined;
  try {
    thread = startThread(moduleOf("data/prefetch/preparing"));
  } catch {
    // In a bundle, the URL of the worker module can be missing. This thread then does the work.
  }
  const worker: PoolWorker | undefined = thread && { thread, ids: new Map(), isReady: false };
  if (worker !== undefined) {
    workers.push(worker);
    const greeting: PrepareRequest = { batch: {}, steps: [] };
    worker.isReady = (await worker.thread.ask(greeting).catch(() => undefined)) !== undefined;
  }
  // `endWorkers` can end a thread that is still starting, which is not a failure.
  if (worker?.isReady !== true && (worker === undefined || workers.includes(worker))) hasFailed = true;
}

/** Keeps the threads running while a feed uses them. Returns the function that the feed calls at its end. */
function holdWorkers(): () => void {
  feedCount++;
  clearTimeout(endTimer);
  return () => {
    feedCount--;
    if (feedCount > 0) return;
    clearTimeout(endTimer);
    endTimer = setTimeout(endWorkers, idleTimeMs);
    // The timer must not keep the program running.
    if (typeof endTimer === "object") endTimer.unref();
  };
}

/** Callers do the pending work themselves. */
export function endWorkers(): void {
  for (const { thread } of workers.splice(0)) thread.end();
}

/** Applies portable changes in the least busy of the first `threads` threads; undefined if none can. @throws the error of the change. */
async function prepareInWorker(
  batch: Batch,
  changes: readonly PositionedChange[],
  threads: number,
): Promise<Batch | undefined> {
  const [worker] = liveWorkers()
    .filter(({ isReady }) => isReady)
    .slice(0, threads)
    .sort((a, b) => a.thread.busy - b.thread.busy);
  if (worker === undefined) return undefined;
  const { thread, ids } = worker;
  const steps = changes.flatMap(({ portable, position }): PrepareRequest["steps"] => {
    if (portable === undefined) return [];
    const knownId = ids.get(portable);
    const id = knownId ?? ids.size;
    ids.set(portable, id);
    return [knownId === undefined ? { id, position, portable } : { id, position }];
  });
  // Transferred arrays could belong to the dataset.
  const { batch: copy, memory } = transferable(copyArrays(batch));
  try {
    const answered = await thread.ask({ batch: copy, steps } satisfies PrepareRequest, memory);
    return answered?.answer as Batch | undefined;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "DataCloneError")) throw error;
    // Settings that cannot be copied refer to objects of this thread. The thread has received none of the settings.
    ids.clear();
    return undefined;
  }
}
