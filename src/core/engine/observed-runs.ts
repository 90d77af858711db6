/** Reports runs of models to the process that watches this one, because a run blocks its thread. */

type Observer = (isRunning: boolean) => void;

let observer: Observer | undefined;
let [runs, isReported, lastReported] = [0, false, 0];
let endTimer: NodeJS.Timeout | undefined;

/** Minimum milliseconds between two reported starts, so that reports do not slow down small models. */
const interval = 100;

export function observeRuns(newObserver: Observer): void {
  observer = newObserver;
}

/** Calls `run` and reports to the observer that a run is in progress. */
export async function reportRun<T>(run: () => Promise<T>): Promise<T> {
  if (observer === undefined) return run();
  const start = performance.now();
  if (!isReported || start - lastReported >= interval) {
    [isReported, lastReported] = [true, start];
    observer(true);
  }
  runs++;
  try {
    return await run();
  } finally {
    runs--;
    if (performance.now() - start >= interval) reportEnd();
    else endTimer ??= setTimeout(reportEnd, interval).unref();
  }
}

function reportEnd(): void {
  clearTimeout(endTimer);
  endTimer = undefined;
  if (runs > 0) return;
  isReported = false;
  observer?.(false);
}
