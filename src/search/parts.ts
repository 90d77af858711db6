/** Samples to search on, and samples to judge by. */
import { type Dataset, isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import { random } from "../tensor/random.ts";

/** With fewer in each half, all samples are both searched on and judged by. */
const fewestSamples = 100;

export interface SearchParts {
  readonly search: Dataset;
  readonly test: Dataset;
  /** None of the test samples is searched on. */
  readonly isApart: boolean;
}

/** Samples to search on and samples to judge by; all for both where there are few, or they come as a stream. */
export function divided(test: Dataset, seed: number): SearchParts {
  if (!isIndexed(test) || test.count < 2 * fewestSamples) return { search: test, test, isApart: false };
  const order = random(seed, "search").permutation(test.count);
  const half = Math.floor(test.count / 2);
  return {
    search: view(test, test.name, order.slice(0, half).sort()),
    test: view(test, test.name, order.slice(half).sort()),
    isApart: true,
  };
}
