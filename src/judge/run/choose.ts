/** Selects the result to keep: of the results that meet the goal and reach the objective's targets, the one with the lowest cost. */

import { type Figures, type Objective, paretoFrontOf } from "../measure/objective.ts";
import type { Choice } from "../record/data.ts";

export interface Contender {
  /** Bytes of the file or download, by which results are compared; undefined if a step failed and there is no result. */
  readonly size: Figures["size"] | undefined;
  /** Whether the result was not rejected and meets the goal. */
  readonly sound: boolean;
  /** Drop from the original, positive if the result is worse; undefined if the result was rejected for another reason than its drop. */
  readonly drop?: number | undefined;
  readonly speed?: Figures["speed"];
}

interface Result extends Figures {
  readonly index: number;
  readonly sound: boolean;
}

/**
 * Returns the best acceptable result. If no result is acceptable, returns the one with the smallest drop, and the test samples decide whether it is
 * kept; with `force`, returns the smallest file.
 */
export function choose(contenders: readonly Contender[], force: boolean, objective: Objective): Choice | undefined {
  const results = resultsOf(contenders);
  const soundResults = results.filter((result) => result.sound);
  if (soundResults.length > 0) return chooseByObjective(soundResults, objective);
  if (!force) return chooseSmallestDrop(contenders);
  const smallest = smallestOf(results);
  return smallest && { place: smallest.index, by: "force" };
}

const resultsOf = (contenders: readonly Contender[]): readonly Result[] =>
  contenders.flatMap(({ size, drop = 0, ...rest }, index) =>
    size === undefined ? [] : [{ ...rest, size, drop, index }],
  );

function chooseSmallestDrop(contenders: readonly Contender[]): Choice | undefined {
  const drops = contenders.flatMap(({ drop }, index) => (drop === undefined ? [] : [{ place: index, drop }]));
  const [smallestDrop] = drops.toSorted((a, b) => a.drop - b.drop);
  return smallestDrop && { place: smallestDrop.place, by: "loss" };
}

const lowestBy = (cost: (figures: Figures) => number, results: readonly Result[]): Result | undefined =>
  results.toSorted((a, b) => cost(a) - cost(b) || a.drop - b.drop)[0];

const smallestOf = (results: readonly Result[]): Result | undefined => lowestBy(({ size }) => size, results);

/** Chooses the acceptable result with the lowest cost. `over` is the smallest result if the objective excludes it, for example as too slow. */
function chooseByObjective(results: readonly Result[], { id, cost, misses }: Objective): Choice | undefined {
  const [only, ...more] = results;
  if (only !== undefined && more.length === 0) return { place: only.index, by: "only" };
  const allowedResults = results.filter((result) => misses(result) === 0);
  const best = lowestBy(cost, allowedResults);
  if (best !== undefined) {
    const smallest = smallestOf(results);
    const isOver = smallest !== undefined && !allowedResults.includes(smallest);
    return { place: best.index, by: id, ...(isOver ? { over: smallest.index } : {}) };
  }
  // No result reaches the required value. The fastest one is written, with a warning.
  const fastest = lowestBy(({ speed = 0 }) => -speed, results);
  return fastest && { place: fastest.index, by: "none allowed" };
}

/** Returns the indices of the acceptable results on the Pareto front of size, drop and speed, except the chosen one. */
export function otherFrontIndices(contenders: readonly Contender[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const soundResults = resultsOf(contenders).filter((result) => result.sound);
  return paretoFrontOf(soundResults, (result) => result).flatMap(({ index }) => (index === chosen ? [] : [index]));
}
