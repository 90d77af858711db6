/** The worker threads that prepare batches. All feeds share them, and idle ones end. */
import { copyArrays, type PortableStep, type PositionedChange, transferable } from "#batches";
import type { Batch } from "#ir";
import { startThread, type Thread } from "#platform";
import { moduleOf } from "#root";
import type { PrepareRequest } from "./preparing.ts";

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
export const areWorkersStarting = (): boolean => liveWorkers().some(({ isReady }) => !isReady);

/** Starts threads up to this number. Resolves when all have started or failed. */
export async function startWorkers(count: number): Promise<void> {
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
export function holdWorkers(): () => void {
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
export async function prepareInWorker(
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
    const reply = await thread.ask({ batch: copy, steps } satisfies PrepareRequest, memory);
    return reply?.answer as Batch | undefined;
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "DataCloneError")) throw error;
    // Settings that cannot be copied refer to objects of this thread. The thread has received none of the settings.
    ids.clear();
    return undefined;
  }
}
