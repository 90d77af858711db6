/** Measures elapsed time, and aborts after a given time. */

export const secondsSince = (startTime: number): number => (performance.now() - startTime) / 1000;

/** Maximum delay of a timer in milliseconds; a timer with a longer delay runs immediately. */
const maxWait = 2 ** 31 - 1;

/** Aborts a controller after a time of any length. @returns a function that cancels the timer. */
export function abortAfter(controller: AbortController, seconds: number): () => void {
  let millisecondsLeft = 1000 * seconds;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (): void => {
    const next = Math.min(Math.max(0, millisecondsLeft), maxWait);
    millisecondsLeft -= next;
    timer = setTimeout(() => (millisecondsLeft > 0 ? wait() : controller.abort()), next);
  };
  if (Number.isFinite(seconds)) wait();
  return () => clearTimeout(timer);
}
