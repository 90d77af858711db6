/** @param started by `performance.now()`. */
export const secondsSince = (started: number): number => (performance.now() - started) / 1000;

/** Milliseconds that one timer can wait (24.8 days): a longer one would fire at once. */
const maxWait = 2 ** 31 - 1;

/**
 * Aborts a controller after a time of any length; after an infinite one, never.
 * @returns a function that cancels the timer.
 */
export function abortAfter(controller: AbortController, seconds: number): () => void {
  let left = 1000 * seconds;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (): void => {
    const next = Math.min(Math.max(0, left), maxWait);
    left -= next;
    timer = setTimeout(() => (left > 0 ? wait() : controller.abort()), next);
  };
  if (Number.isFinite(seconds)) wait();
  return () => clearTimeout(timer);
}
