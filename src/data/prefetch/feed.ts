/**
 * Prefetches batches in worker threads, because a model run blocks the JavaScript thread. Batches keep their order, and are bit-identical in any
 * thread (`indexed.ts`).
 *
 * If the consumer waits a time w for each batch and uses it for a time u, w/u threads suffice. If n threads do not suffice, n · (w + u) / u are
 * started, limited by the number of cores. Changes that other threads cannot apply, such as functions of users, run in this thread.
 */

import {
  type BatchOptions,
  bytesOfBatch,
  completeBatch,
  copyArrays,
  type Dataset,
  isIndexed,
  type PendingBatch,
  type PositionedChange,
  pendingBatches,
} from "#batches";
import type { Batch } from "#ir";
import { threadCount } from "#platform";
import { areWorkersStarting, holdWorkers, prepareInWorker, readyWorkers, startWorkers } from "./workers.ts";

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
  let unmeasuredCount = 1;

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
    let preparedBatch = batch;
    for (let next = 0; next < changes.length; ) {
      const localIndex = changes.findIndex((change, index) => index >= next && !isPortable(change));
      const end = localIndex < 0 ? changes.length : Math.max(localIndex, next + 1);
      const steps = changes.slice(next, end);
      const preparedInWorker = localIndex === next ? undefined : await prepareInWorker(preparedBatch, steps, count);
      preparedBatch = preparedInWorker ?? (await completeBatch({ batch: preparedBatch, changes: steps }));
      next = end;
    }
    return preparedBatch;
  };

  const startBatch = (): Promise<Batch | undefined> => {
    const pendingRead = reading.then(() => source.next());
    const pendingBatch = pendingRead.then(({ done, value }) => {
      isExhausted ||= done === true;
      return value === undefined ? undefined : prepare(value);
    });
    // An error is thrown when its batch is requested. Until then, it must not count as unhandled.
    pendingBatch.catch(() => {});
    // A stream can reuse its arrays after this batch has been posted to a thread.
    reading = pendingRead.catch(() => {});
    return pendingBatch;
  };

  const measure = (waitTime: number, useTime: number): void => {
    if (areWorkersStarting()) unmeasuredCount = 2 * threadCount();
    if (unmeasuredCount > 0) {
      unmeasuredCount--;
      return;
    }
    totals = { count: totals.count + 1, waited: totals.waited + waitTime, used: totals.used + useTime };
    const { count, waited: totalWait, used: totalUse } = totals;
    if (totalWait <= maxWaitShare * (totalWait + totalUse) || count < minMeasured || totalWait < threadStartMs) return;
    totals = { count: 0, waited: 0, used: 0 };
    isLate = true;
    if (!hasPortable) return;
    unmeasuredCount = 2 * threadCount();
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
