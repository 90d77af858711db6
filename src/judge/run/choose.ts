/** Selects the result to keep: the one with the lowest cost that the objective allows and that meets the goal. */
import type { Choice } from "../record/data.ts";
import { type Figures, type Objective, paretoFrontOf } from "./objective.ts";

export interface Contender {
  /** Bytes that the results are compared by; undefined if there is no result. */
  readonly size: Figures["size"] | undefined;
  /** Whether the result was not rejected and meets the goal. */
  readonly sound: boolean;
  /** Drop from the original, positive if the result is worse; undefined if the result was rejected for another reason than its drop. */
  readonly drop?: number | undefined;
  readonly speed?: Figures["speed"];
}

interface Result extends Figures {
  readonly place: number;
  readonly sound: boolean;
}

/**
 * Returns the best acceptable result. If there is none, returns the one with the smallest drop, about which the test samples then decide; with
 * `force`, the smallest file.
 */
export function choose(contenders: readonly Contender[], force: boolean, objective: Objective): Choice | undefined {
  const results = resultsOf(contenders);
  const soundResults = results.filter((one) => one.sound);
  if (soundResults.length > 0) return least(soundResults, objective);
  if (!force) return chooseSmallestDrop(contenders);
  const smallest = smallestOf(results);
  return smallest && { place: smallest.place, by: "force" };
}

const resultsOf = (contenders: readonly Contender[]): readonly Result[] =>
  contenders.flatMap(({ size, drop = 0, ...rest }, place) =>
    size === undefined ? [] : [{ ...rest, size, drop, place }],
  );

function chooseSmallestDrop(contenders: readonly Contender[]): Choice | undefined {
  const drops = contenders.flatMap(({ drop }, place) => (drop === undefined ? [] : [{ place, drop }]));
  const [chooseSound] = drops.toSorted((a, b) => a.drop - b.drop);
  return chooseSound && { place: chooseSound.place, by: "loss" };
}

const lowestBy = (cost: (figures: Figures) => number, results: readonly Result[]): Result | undefined =>
  results.toSorted((a, b) => cost(a) - cost(b) || a.drop - b.drop)[0];

const smallestOf = (results: readonly Result[]): Result | undefined => lowestBy(({ size }) => size, results);

/** Chooses among acceptable results by the objective. `over` is the smallest result if the objective excludes it. */
function least(results: readonly Result[], { id, cost, misses }: Objective): Choice | undefined {
  const [only, ...more] = results;
  if (only !== undefined && more.length === 0) return { place: only.place, by: "only" };
  const allowedResults = results.filter((one) => misses(one) === 0);
  const best = lowestBy(cost, allowedResults);
  if (best !== undefined) {
    const smallest = smallestOf(results);
    const isOver = smallest !== undefined && !allowedResults.includes(smallest);
    return { place: best.place, by: id, ...(isOver ? { over: smallest.place } : {}) };
  }
  // No result reaches the required value. The fastest one is written, with a warning.
  const fastest = lowestBy(({ speed = 0 }) => -speed, results);
  return fastest && { place: fastest.place, by: "none allowed" };
}

/** Returns the other acceptable results on the Pareto front of size, drop and speed. */
export function otherFrontPlaces(contenders: readonly Contender[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const soundResults = resultsOf(contenders).filter((one) => one.sound);
  return paretoFrontOf(soundResults, (one) => one).flatMap(({ place }) => (place === chosen ? [] : [place]));
}
