/** Which of several results is kept: of those that keep the goal the one of least cost that the objective allows. */
import type { Choice } from "../report/data.ts";
import { type Figures, frontOf, type Objective } from "./objective.ts";

export interface Contender {
  /** Undefined where there is no result. */
  readonly bytes: number | undefined;
  /** Not refused, and inside the goal. */
  readonly sound: boolean;
  /** By how much it is worse than the original; undefined where it was refused for another reason. */
  readonly drop?: number | undefined;
  readonly brotli?: Figures["brotli"];
  readonly speed?: Figures["speed"];
}

interface Result extends Figures {
  /** Among the contenders. */
  readonly place: number;
  readonly sound: boolean;
}

/**
 * The best of those that are sound. If none is: the one that lost least, for the test samples to decide; by force the smallest
 * of all that there are. Undefined where there is nothing to keep.
 */
export function choose(contenders: readonly Contender[], force: boolean, objective: Objective): Choice | undefined {
  const results = resultsOf(contenders);
  const sound = results.filter((one) => one.sound);
  if (sound.length > 0) return least(sound, objective);
  if (!force) return leastDrop(contenders);
  const smallest = smallestOf(results);
  return smallest && { place: smallest.place, by: "force" };
}

const resultsOf = (contenders: readonly Contender[]): readonly Result[] =>
  contenders.flatMap(({ bytes, drop = 0, ...rest }, place) =>
    bytes === undefined ? [] : [{ ...rest, bytes, drop, place }],
  );

function leastDrop(contenders: readonly Contender[]): Choice | undefined {
  const drops = contenders.flatMap(({ drop }, place) => (drop === undefined ? [] : [{ place, drop }]));
  const [least] = drops.toSorted((a, b) => a.drop - b.drop);
  return least && { place: least.place, by: "loss" };
}

/** The result of least cost; of several with the same cost the one with the smallest drop. */
const leastBy = (cost: (figures: Figures) => number, results: readonly Result[]): Result | undefined =>
  results.toSorted((a, b) => cost(a) - cost(b) || a.drop - b.drop)[0];

const smallestOf = (results: readonly Result[]): Result | undefined => leastBy(({ bytes }) => bytes, results);

/** The smallest that the objective does not allow is named. */
function least(results: readonly Result[], { id, cost, misses }: Objective): Choice | undefined {
  const [only, ...more] = results;
  if (only !== undefined && more.length === 0) return { place: only.place, by: "only" };
  const allowed = results.filter((one) => misses(one) === 0);
  const best = leastBy(cost, allowed);
  if (best !== undefined) {
    const smallest = smallestOf(results);
    const isOver = smallest !== undefined && !allowed.includes(smallest);
    return { place: best.place, by: id, ...(isOver ? { over: smallest.place } : {}) };
  }
  // What is slower than it should be is written all the same, and said.
  const fastest = leastBy(({ speed = 0 }) => -speed, results);
  return fastest && { place: fastest.place, by: "none allowed" };
}

/** The others that are sound, and that none is better than in bytes, drop and speed together. */
export function frontBeside(contenders: readonly Contender[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const sound = resultsOf(contenders).filter((one) => one.sound);
  return frontOf(sound, (one) => one).flatMap(({ place }) => (place === chosen ? [] : [place]));
}
