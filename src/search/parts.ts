/** Samples to search on, and samples to judge by. */
import { type Dataset, isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import { random } from "../tensor/random.ts";

/** With fewer in each half, all samples are both searched on and judged by. */
export const fewestSamples = 100;
/** Each combination is evaluated on them: where 8 % of the answers change, a drop is known to within 0.6 points (one standard error). */
const mostSearched = 2048;
/** What misses the goal for certain on so many is not evaluated on the others: where 15 % of the answers change, by 9 points. */
export const firstLook = 256;

export interface SearchParts {
  /** In random order, where it is not all of them. */
  readonly search: Dataset;
  readonly test: Dataset;
  /** None of the test samples is searched on. */
  readonly isApart: boolean;
}

/** Samples to search on, half of all at most, and the others to judge by; all for both where there are few, or they come as a stream. */
export function searchParts(test: Dataset, seed: number): SearchParts {
  if (!isIndexed(test) || test.count < 2 * fewestSamples) return { search: test, test, isApart: false };
  const order = random(seed, "search").permutation(test.count);
  const searched = Math.min(Math.floor(test.count / 2), mostSearched);
  return {
    search: view(test, test.name, order.slice(0, searched)),
    test: view(test, test.name, order.slice(searched).sort()),
    isApart: true,
  };
}
