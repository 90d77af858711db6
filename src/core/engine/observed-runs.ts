/** Reports runs of models to the process that watches this one: a run blocks its thread, so that this process cannot report how long it takes. */

type Observer = (isRunning: boolean) => void;

let observer: Observer | undefined;
let lastReported = Number.NEGATIVE_INFINITY;

/** Minimum milliseconds between two reported runs. Reports of each run would slow down small models. */
const interval = 100;

export function observeRuns(newObserver: Observer): void {
  observer = newObserver;
}

/** Calls `run`, and reports its start and its end to the observer. */
export async function observed<T>(run: () => Promise<T>): Promise<T> {
  const now = performance.now();
  if (observer === undefined || now - lastReported < interval) return run();
  lastReported = now;
  observer(true);
  try {
    return await run();
  } finally {
    observer(false);
  }
}
