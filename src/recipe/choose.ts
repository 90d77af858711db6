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

/**
 * The best of those that are sound. If none is: the one that lost least, for the test samples to decide; by force the smallest
 * of all that there are. Undefined where there is nothing to keep.
 */
export function choose(contenders: readonly Contender[], force: boolean, objective: Objective): Choice | undefined {
  const places = contenders.flatMap(({ bytes }, place) => (bytes === undefined ? [] : [place]));
  const sound = places.filter((place) => contenders[place]?.sound === true);
  if (sound.length > 0) return least(contenders, sound, objective);
  if (!force) return leastDrop(contenders);
  return places.length === 0 ? undefined : { place: smallestOf(contenders, places), by: "force" };
}

function leastDrop(contenders: readonly Contender[]): Choice | undefined {
  const drops = contenders.flatMap(({ drop }, place) => (drop === undefined ? [] : [{ place, drop }]));
  const [least] = drops.toSorted((a, b) => a.drop - b.drop);
  return least && { place: least.place, by: "loss" };
}

function figuresOf({ bytes = Number.POSITIVE_INFINITY, drop = 0, ...rest }: Contender): Figures {
  return { bytes, drop, ...rest };
}

/** Of several of least cost the one that lost least. @param places of which one is chosen, at least one. */
function leastBy(
  cost: (figures: Figures) => number,
  contenders: readonly Contender[],
  places: readonly number[],
): number {
  const [first = 0] = places
    .flatMap((place) => {
      const figures = figuresOf(contenders[place] ?? noResult);
      return [{ place, cost: cost(figures), drop: figures.drop }];
    })
    .toSorted((a, b) => a.cost - b.cost || a.drop - b.drop)
    .map(({ place }) => place);
  return first;
}

const smallestOf = (contenders: readonly Contender[], places: readonly number[]): number =>
  leastBy(({ bytes }) => bytes, contenders, places);

/** The smallest that the objective does not allow is named. */
function least(contenders: readonly Contender[], places: readonly number[], objective: Objective): Choice {
  const [only = 0] = places;
  if (places.length === 1) return { place: only, by: "only" };
  const allowed = places.filter((place) => objective.misses(figuresOf(contenders[place] ?? noResult)) === 0);
  // What is slower than it should be is written all the same, and said.
  if (allowed.length === 0)
    return { place: leastBy(({ speed = 0 }) => -speed, contenders, places), by: "none allowed" };
  const place = leastBy(objective.cost, contenders, allowed);
  const smallest = smallestOf(contenders, places);
  return { place, by: objective.id, ...(allowed.includes(smallest) ? {} : { over: smallest }) };
}

/** The others that are sound, and that none is better than in bytes, drop and speed together. */
export function frontBeside(contenders: readonly Contender[], chosen: number | undefined): readonly number[] {
  if (chosen === undefined) return [];
  const sound = [...contenders.keys()].filter((place) => contenders[place]?.sound === true);
  return frontOf(sound, (place) => figuresOf(contenders[place] ?? noResult)).filter((place) => place !== chosen);
}

const noResult: Contender = { bytes: undefined, sound: false };
