/** Which of several results is kept: the smallest file, and of files about as small the fastest; without times the one that was listed first. */

export interface Choice {
  /** Undefined where there is no result. */
  readonly bytes: number | undefined;
  /** Not refused, and inside the goal. */
  readonly sound: boolean;
  /** By how much it is worse than the original; undefined where it was refused for another reason. */
  readonly drop?: number | undefined;
  /** How many times as fast as the original, in the median; undefined where it was not timed. */
  readonly speed: number | undefined;
}

/** Files that differ less in size are as good as equally small. */
const nearInSize = 1.1;
/** Between medians of interleaved rounds, less than this may be noise. */
const clearlyFaster = 1.2;

/**
 * The place of the best of those that are sound. If none is: the one that lost least, for the test samples to decide; by force the best
 * of all that there are. Undefined where there is nothing to keep.
 */
export function choose(choices: readonly Choice[], force: boolean): number | undefined {
  const sound = best(choices, (choice) => choice.sound);
  return sound ?? (force ? best(choices, () => true) : leastDrop(choices));
}

function leastDrop(choices: readonly Choice[]): number | undefined {
  const drops = choices.flatMap(({ drop }, place) => (drop === undefined ? [] : [{ place, drop }]));
  return drops.toSorted((a, b) => a.drop - b.drop)[0]?.place;
}

function best(choices: readonly Choice[], allowed: (choice: Choice) => boolean): number | undefined {
  const bytesAt = (place: number): number => choices[place]?.bytes ?? Number.POSITIVE_INFINITY;
  const speedAt = (place: number): number => choices[place]?.speed ?? Number.NaN;
  const places = choices.flatMap((choice, place) => (choice.bytes !== undefined && allowed(choice) ? [place] : []));
  const [smallest, ...others] = places.toSorted((a, b) => bytesAt(a) - bytesAt(b));
  if (smallest === undefined) return undefined;
  const near = others.filter((place) => bytesAt(place) <= nearInSize * bytesAt(smallest));
  // Variants are listed as they usually rank in speed, or as their author did.
  if (places.every((place) => choices[place]?.speed === undefined)) return Math.min(smallest, ...near);
  return near.reduce((kept, place) => (speedAt(place) > clearlyFaster * speedAt(kept) ? place : kept), smallest);
}
