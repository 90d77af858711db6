/** Selects the result to keep: the one with the lowest cost that the objective allows and that meets the goal. */
import type { Choice } from "../record/data.ts";
import { type Figures, type Objective, paretoFrontOf } from "./objective.ts";

export interface Contender {
  /** Undefined without a result. */
  readonly size: Figures["size"] | undefined;
  /** Not rejected, and within the goal. */
  readonly sound: boolean;
  /** Positive if worse than the original; undefined if rejected for another reason. */
  readonly drop?: number | undefined;
  readonly speed?: Figures["speed"];
}

interface Result extends Figures {
  readonly place: number;
  readonly sound: boolean;
}

/** Returns the best acceptable result, else the one with the smallest drop for the test samples to decide, or the smallest file with `force`. */
export function choose(contenders: readonly Contender[], force: boolean, objective: Objective): Choice | undefined {
  const results = resultsOf(contenders);
  const sound = results.filter((one) => one.sound);
  if (sound.length > 0) return least(sound, objective);
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

/** Also names the smallest result that the objective excludes. */
function least(results: readonly Result[], { id, cost, misses }: Objective): Choice | undefined {
  const [only, ...more] = results;
  if (only !== undefined && more.length === 0) return { place: only.place, by: "only" };
  const allowed = results.filter((one) => misses(one) === 0);
  const best = lowestBy(cost, allowed);
  if (best !== undefined) {
    const smallest = smallestOf(results);
    const isOver = smallest !== undefined && !allowed.includes(smallest);
    return { place: best.place, by: id, ...(isOver ? { over: smallest.place } : {}) };
  }
  // A result that misses the speed is written with a warning.
  const fastest = lowestBy(({ speed = 0 }) => -speed, results);
  return fastest && { place: fastest.place, by: "none allowed" };
}

/** Returns the other acceptable results on the Pareto front of size, drop and speed. */
export function otherFrontPlaces(contenders: readonly Contender[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const sound = resultsOf(contenders).filter((one) => one.sound);
  return paretoFrontOf(sound, (one) => one).flatMap(({ place }) => (place === chosen ? [] : [place]));
}
