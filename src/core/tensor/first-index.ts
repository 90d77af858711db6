/** Returns the first index in [low, high) from which on a condition is true, by binary search; `high` without one. */
export function firstIndex(low: number, high: number, isReached: (index: number) => boolean): number {
  let [first, last] = [low, high];
  while (first < last) {
    const middle = (first + last) >> 1;
    if (isReached(middle)) last = middle;
    else first = middle + 1;
  }
  return first;
}
