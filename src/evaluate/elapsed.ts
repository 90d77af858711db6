/** @param started by `performance.now()`. */
export const secondsSince = (started: number): number => (performance.now() - started) / 1000;
