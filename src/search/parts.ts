import { random } from "../core/tensor/random.ts";
import { isIndexed, view } from "../data/batches/indexed.ts";
import type { Dataset } from "../data/index.ts";

/** With fewer in each half, all samples are used for both. */
export const minSamples = 100;
/** Each candidate is evaluated on them: if 8 % of the predictions change, the standard error of a drop is 0.6 points. */
const maxSearched = 2048;
/** A candidate that certainly misses the goal here is not evaluated further: if 15 % of the predictions change, by 9 points. */
export const firstLook = 256;

export interface SearchParts {
  /** In random order, unless it contains all samples. */
  readonly search: Dataset;
  readonly test: Dataset;
  readonly isApart: boolean;
}

/** At most half of the samples are for the search. Few samples or a stream are used for both. */
export function searchParts(test: Dataset, seed: number): SearchParts {
  if (!isIndexed(test) || test.count < 2 * minSamples) return { search: test, test, isApart: false };
  const order = random(seed, "search").permutation(test.count);
  const searched = Math.min(Math.floor(test.count / 2), maxSearched);
  return {
    search: view(test, test.name, order.slice(0, searched)),
    test: view(test, test.name, order.slice(searched).sort()),
    isApart: true,
  };
}
