/** Samples to search on, and samples to judge by. */
import { type Dataset, isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import { random } from "../tensor/random.ts";

/** With fewer in each half, all samples are both searched on and judged by. */
const fewestSamples = 100;
/** Each combination is evaluated on them: where 8 % of the answers change, a drop is known to within 0.6 points (one standard error). */
const mostSearched = 2048;
/** What misses the goal for certain on so many is not evaluated on the others: where 15 % of the answers change, by 9 points. */
const firstLook = 256;

export interface SearchParts {
  readonly search: Dataset;
  /** Samples that stand first there, in random order among themselves and the others. */
  readonly firstLook: number;
  readonly test: Dataset;
  /** None of the test samples is searched on. */
  readonly isApart: boolean;
}

/** Samples to search on, half of all at most, and the others to judge by; all for both where there are few, or they come as a stream. */
export function divided(test: Dataset, seed: number): SearchParts {
  if (!isIndexed(test) || test.count < 2 * fewestSamples)
    return { search: test, firstLook: test.count ?? 0, test, isApart: false };
  const order = random(seed, "search").permutation(test.count);
  const searched = Math.min(Math.floor(test.count / 2), mostSearched);
  const first = searched < 2 * firstLook ? searched : firstLook;
  return {
    search: view(
      test,
      test.name,
      Uint32Array.of(...order.slice(0, first).sort(), ...order.slice(first, searched).sort()),
    ),
    firstLook: first,
    test: view(test, test.name, order.slice(searched).sort()),
    isApart: true,
  };
}
