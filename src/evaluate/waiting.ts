/** How long something will take, as people say it. */
import { integer } from "./numbers.ts";

/** Seconds; who waits less needs no word. */
const leastTold = 20;

/** "about 4 minutes"; undefined for what is over at once. */
export function waiting(seconds: number): string | undefined {
  if (seconds < leastTold) return undefined;
  if (seconds < 90) return `about ${integer(10 * Math.round(seconds / 10))} seconds`;
  if (seconds < 5400) return `about ${integer(seconds / 60)} minutes`;
  return `about ${(seconds / 3600).toFixed(seconds < 36_000 ? 1 : 0)} hours`;
}
