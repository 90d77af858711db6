import { startThread, type Thread } from "#platform";
import { moduleOf } from "#root";
import type { Batch } from "../../core/tensor/types.ts";
import type { PlacedChange, Portable } from "../batches/pending-batch.ts";
import { ownArrays } from "../batches/rows.ts";
import { handedOver } from "./batch-memory.ts";
import type { PreparingQuestion } from "./preparing.ts";

interface PoolWorker {
  readonly thread: Thread;
  readonly told: Set<number>;
  ready: boolean;
}

/** Milliseconds until idle threads end: they survive the pause between two epochs. */
const kept = 10_000;

let workers: PoolWorker[] = [];
/** A thread ended unexpectedly, or cannot start: none are started again. */
let failed = false;
let users = 0;
let ending: ReturnType<typeof setTimeout> | undefined;

export function readyWorkers(): number {
  return present().filter(({ ready }) => ready).length;
}

export function areWorkersStarting(): boolean {
  return present().some(({ ready }) => !ready);
}

function present(): readonly PoolWorker[] {
  if (workers.some(({ thread }) => thread.ended)) {
    failed = true;
    workers = workers.filter(({ thread }) => !thread.ended);
  }
  return workers;
}

/** Starts threads up to this number; resolves when all have started or failed. */
export async function startWorkers(count: number): Promise<void> {
  const starting: Promise<void>[] = [];
  while (present().length < count && !failed) {
    const thread = begun();
    if (thread === undefined) failed = true;
    else starting.push(added(thread));
  }
  await Promise.all(starting);
}

function begun(): Thread | undefined {
  try {
    return startThread(moduleOf("data/prefetch/preparing"));
  } catch {
    // Some bundlers leave no module URLs.
    return undefined;
  }
}

async function added(thread: Thread): Promise<void> {
  const worker: PoolWorker = { thread, told: new Set(), ready: false };
  workers.push(worker);
  const nothing: PreparingQuestion = { learn: [], batch: {}, changes: [] };
  worker.ready = (await thread.ask(nothing).catch(() => undefined)) !== undefined;
  if (!worker.ready) failed = true;
}

export function holdWorkers(): { release(): void } {
  users++;
  clearTimeout(ending);
  return {
    release() {
      users--;
      if (users > 0) return;
      clearTimeout(ending);
      ending = setTimeout(endWorkers, kept);
      // The timer must not keep the program running.
      if (typeof ending === "object") ending.unref();
    },
  };
}

/** Ends all threads; callers do the pending work themselves. */
export function endWorkers(): void {
  for (const { thread } of workers.splice(0)) thread.end();
}

const numbers = new WeakMap<Portable, number>();
let last = 0;

function numberOf(portable: Portable): number {
  const number = numbers.get(portable) ?? ++last;
  numbers.set(portable, number);
  return number;
}

/** Applies portable changes in the least busy of the first `threads` threads; undefined without one. @throws the error of the change. */
export async function prepareInWorker(
  batch: Batch,
  changes: readonly PlacedChange[],
  threads: number,
): Promise<Batch | undefined> {
  const [worker] = present()
    .filter(({ ready }) => ready)
    .slice(0, threads)
    .sort((a, b) => a.thread.busy - b.thread.busy);
  if (worker === undefined) return undefined;
  const { thread, told } = worker;
  const learn: PreparingQuestion["learn"][number][] = [];
  const wanted = changes.flatMap(({ portable, place }) => {
    if (portable === undefined) return [];
    const change = numberOf(portable);
    if (!told.has(change)) learn.push({ ...portable, change });
    return [{ change, place }];
  });
  // Transferred arrays can belong to the data set, so they are copied.
  const { batch: own, memory } = handedOver(ownArrays(batch));
  const asking = thread.ask({ learn, batch: own, changes: wanted } satisfies PreparingQuestion, memory);
  for (const { change } of learn) told.add(change);
  try {
    const answered = await asking;
    return answered?.answer as Batch | undefined;
  } catch (error) {
    // Settings that cannot be copied refer to this thread's objects.
    if (error instanceof DOMException && error.name === "DataCloneError") {
      for (const { change } of learn) told.delete(change);
      return undefined;
    }
    throw error;
  }
}
