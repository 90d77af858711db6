/** Splits test samples between the comparison of candidates and the evaluation of finalists. */
import { isIndexed, testSeed, view } from "#batches";
import { random } from "#ir";
import type { Dataset } from "../data/index.ts";
import { minSamples } from "../judge/recipe/open-samples.ts";

/** If 8 % of the predictions change, the standard error of a drop is then 0.6 points. */
const maxSearchSamples = 2048;
/** Samples of the first interim look. */
export const firstLookSamples = 256;

export interface SearchSplits {
  /** Samples on which candidates are compared. */
  readonly search: Dataset;
  readonly test: Dataset;
  readonly isApart: boolean;
}

/** Splits the test samples: at most half compare candidates, the others evaluate finalists. Small data sets and streams are not split. */
export function splitForSearch(test: Dataset): SearchSplits {
  if (!isIndexed(test) || test.count < 2 * minSamples) return { search: test, test, isApart: false };
  const order = random(testSeed, "search").permutation(test.count);
  const searchCount = Math.min(Math.floor(test.count / 2), maxSearchSamples);
  return {
    search: view(test, test.name, order.slice(0, searchCount)),
    test: view(test, test.name, order.slice(searchCount).sort()),
    isApart: true,
  };
}
