/**
 * Which of several results is kept: the smallest file, or of files at most a tenth larger one that takes less than half of its processor time.
 *
 * What else the machine does has no say. By the clock it would have: mobilenetv3 in int8 dynamic was 0.12 times as fast as in float32 beside few
 * other processes and 0.04 times beside 14, because an operator waits until each of its threads had a turn; its processor time was 3.6 and
 * 3.7 times that of float32. Files of about the same size (resnet20, mobilenetv3, bert_sst2 in int8 and float16) take either at most 1.4 times or at least
 * 2.9 times the processor time of one another, so the limit lies where the noise of a measurement, a tenth or two, does not
 * reach. Where processor time cannot be read, as in a browser, it never can: there size and accuracy alone decide, busy or not.
 */

import type { Choice } from "../report/data.ts";
import type { Figures, Objective } from "./objective.ts";

export interface Contender {
  /** Undefined where there is no result. */
  readonly bytes: number | undefined;
  /** Not refused, and inside the goal. */
  readonly sound: boolean;
  /** By how much it is worse than the original; undefined where it was refused for another reason. */
  readonly drop?: number | undefined;
  /** Processor time of a run, as a share of the original's; undefined where it was not measured. */
  readonly work?: number | undefined;
  readonly brotli?: Figures["brotli"];
  readonly speed?: Figures["speed"];
}

/** Files that differ less in size are as good as equally small. */
const nearInSize = 1.1;
const clearlyLess = 0.5;

/**
 * The best of those that are sound. If none is: the one that lost least, for the test samples to decide; by force the best
 * of all that there are. Undefined where there is nothing to keep.
 */
export function choose(
  contenders: readonly Contender[],
  force: boolean,
  objective?: Objective | undefined,
): Choice | undefined {
  const places = contenders.flatMap(({ bytes }, place) => (bytes === undefined ? [] : [place]));
  const sound = places.filter((place) => contenders[place]?.sound === true);
  if (sound.length > 0) return objective === undefined ? best(contenders, sound) : least(contenders, sound, objective);
  if (force) return places.length === 0 ? undefined : { ...best(contenders, places), by: "force" };
  return leastDrop(contenders);
}

function leastDrop(contenders: readonly Contender[]): Choice | undefined {
  const drops = contenders.flatMap(({ drop }, place) => (drop === undefined ? [] : [{ place, drop }]));
  const [least] = drops.toSorted((a, b) => a.drop - b.drop);
  return least && { place: least.place, by: "loss" };
}

/** Of those that the objective allows the one of least cost; the smallest that it does not allow is named. */
function least(contenders: readonly Contender[], places: readonly number[], objective: Objective): Choice {
  const figuresOf = (place: number): Figures => {
    const { bytes = Number.POSITIVE_INFINITY, drop = 0, ...rest } = contenders[place] ?? {};
    return { bytes, drop, ...rest };
  };
  const by = (order: (figures: Figures) => number, of: readonly number[]): number =>
    of.reduce((found, place) => (order(figuresOf(place)) < order(figuresOf(found)) ? place : found));
  const allowed = places.filter((place) => objective.allows(figuresOf(place)));
  const smallest = by(({ bytes }) => bytes, places);
  // What is slower than it should be is written all the same, and said.
  if (allowed.length === 0) return { place: by(({ speed = 0 }) => -speed, places), by: "none allowed" };
  const place = by(objective.cost, allowed);
  if (places.length === 1) return { place, by: "only" };
  const { id } = objective;
  return { place, by: id, ...(smallest === place || allowed.includes(smallest) ? {} : { over: smallest }) };
}

/** @param places of which one is chosen, at least one. */
function best(contenders: readonly Contender[], places: readonly number[]): Choice {
  const of = (place: number): { readonly bytes: number; readonly drop: number; readonly work: number } => {
    const { bytes = Number.POSITIVE_INFINITY, drop = 0, work = Number.NaN } = contenders[place] ?? {};
    return { bytes, drop, work };
  };
  const sorted = places.toSorted((a, b) => of(a).bytes - of(b).bytes || of(a).drop - of(b).drop);
  const [smallest = 0] = sorted;
  if (sorted.length === 1) return { place: smallest, by: "only" };
  const near = sorted.filter((place) => of(place).bytes <= nearInSize * of(smallest).bytes);
  const kept = near.reduce((found, place) => (of(place).work < clearlyLess * of(found).work ? place : found));
  if (kept !== smallest) return { place: kept, by: "processor time", over: smallest };
  const unweighed = near.length > 1 && near.every((place) => Number.isNaN(of(place).work));
  return { place: smallest, by: "size", ...(unweighed ? { unweighed } : {}) };
}
