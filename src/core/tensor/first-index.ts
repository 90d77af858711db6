/** Returns the first index from `low` on that fulfills a condition, or `high` if none before it does. All later indices must fulfill it, too. */
export function firstIndex(low: number, high: number, isReached: (index: number) => boolean): number {
  let [first, last] = [low, high];
  while (first < last) {
    const middle = (first + last) >> 1;
    if (isReached(middle)) last = middle;
    else first = middle + 1;
  }
  return first;
}
