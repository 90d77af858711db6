import { random } from "../core/tensor/random.ts";
import { isIndexed, view } from "../data/batches/indexed.ts";
import type { Dataset } from "../data/index.ts";

/** Minimum number of samples in each half. With fewer, the search and the evaluation both use all samples. */
export const minSamples = 100;
/** Maximum number of search samples. If 8 % of the predictions change, the standard error of a drop is then 0.6 points. */
const maxSearchSamples = 2048;
/** Number of samples of the interim look. A candidate stops there if its 99.7 % interval misses the goal: by about 7.5 points if 15 % of the predictions change. */
export const firstLook = 256;

export interface SearchParts {
  /** Samples that compare candidates: in random order, unless they are all samples. */
  readonly search: Dataset;
  readonly test: Dataset;
  readonly isApart: boolean;
}

/**
 * Splits the test samples: at most half of them compare candidates, and the others evaluate the finalists. Small datasets and streams are used for
 * both.
 */
export function searchParts(test: Dataset, seed: number): SearchParts {
  if (!isIndexed(test) || test.count < 2 * minSamples) return { search: test, test, isApart: false };
  const order = random(seed, "search").permutation(test.count);
  const searchCount = Math.min(Math.floor(test.count / 2), maxSearchSamples);
  return {
    search: view(test, test.name, order.slice(0, searchCount)),
    test: view(test, test.name, order.slice(searchCount).sort()),
    isApart: true,
  };
}
