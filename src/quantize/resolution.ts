/**
 * Whether 8 bits resolve the numbers of a value. Over a range from min to max their step is
 *
 *     s = (max - min) / 255                  the range contains 0
 *
 * and what is nearer 0 than s / 2 becomes 0. A few huge numbers, such as the -1e9 that masks add to scores, so wipe out all the others. Of the
 * numbers that are not 0 and less than a quarter of the largest,
 *
 *     lost = share with |x| < s / 2
 *
 * Masked scores are all in this bulk or near the largest, whatever part of them is masked, and of the bulk everything is lost. Where large
 * numbers are the tail of a distribution, some of it lies between.
 */
import type { Dataset } from "../data/index.ts";
import { type ObserveOptions, overSamples, type ValueRange } from "../evaluate/observe.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { smallestScale } from "../math/index.ts";
import type { Context } from "../passes/pass.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { typeCodes } from "../tensor/type-codes.ts";
import type { Dense } from "../tensor/types.ts";

/** How much of the bulk may be lost. */
const mostLost = 0.99;

/** Samples on which the bulk is counted: it shows in few. */
const countedSamples = 16;

/** Why no scale suits numbers of such a range, of which so much is lost, as a predicate; or nothing. */
export function whyUnfit(range: ValueRange, lost: number): string | undefined {
  const { min, max } = range;
  if (min > max) return "has no elements in any sample, and so no range";
  const broken = whyNotFinite(range);
  if (broken !== undefined) return broken;
  const { step, largest } = stepOf(range);
  if (largest > 0 && step < smallestScale)
    return `is at most ${largest.toExponential(1)}: no float32 scale resolves it`;
  if (lost < mostLost) return undefined;
  return `ranges from ${short(min)} to ${short(max)}: 8 bits would not resolve most of its numbers`;
}

export function whyNotFinite({ min, max }: ValueRange): string | undefined {
  if (Number.isNaN(min) || Number.isNaN(max)) return "holds NaN";
  return Number.isFinite(min) && Number.isFinite(max) ? undefined : "holds infinite numbers";
}

/** The share of its bulk that a stored value loses. */
export function lostAmong(dense: Dense, range: ValueRange): number {
  const { step, largest } = stepOf(range);
  const bulk = toFloat64(dense).filter((value) => value !== 0 && Math.abs(value) < largest / 4);
  return bulk.length === 0 ? 0 : bulk.filter((value) => Math.abs(value) < step / 2).length / bulk.length;
}

/** The share of its bulk that each of these values loses, counted on the first samples. Values without a finite range are left out. */
export async function lostShares(
  { engine }: Context,
  model: Model,
  dataset: Dataset,
  ranges: ReadonlyMap<string, ValueRange>,
  options: ObserveOptions,
): Promise<ReadonlyMap<string, number>> {
  const work = model.clone();
  const counted = [...ranges].flatMap(([name, range]) => {
    const value = work.graph.value(name);
    const { largest } = stepOf(range);
    if (value === undefined || !Number.isFinite(largest) || largest === 0) return [];
    return [{ name, counts: counts(work, value, range) }];
  });
  if (counted.length === 0) return new Map();
  const observed = counted.flatMap((one) => one.counts.map(({ name }) => name));
  const totals = new Map(observed.map((name) => [name, 0]));
  const few = { ...options, samples: Math.min(countedSamples, options.samples ?? countedSamples) };
  await overSamples(engine, [{ model: work, observed }], dataset, few, ([results = {}]) => {
    for (const [name, before] of totals) {
      const dense = results[name];
      if (dense !== undefined)
        totals.set(
          name,
          toFloat64(dense).reduce((sum, value) => sum + value, before),
        );
    }
  });
  return new Map(
    counted.map(({ name, counts: values }) => {
      const [zeros = 0, small = 0, below = 0] = values.map((value) => totals.get(value.name) ?? 0);
      return [name, below > zeros ? (small - zeros) / (below - zeros) : 0];
    }),
  );
}

/** How many numbers of a value are 0, nearer 0 than half a step, and below a quarter of the largest: each as a vector of one number. */
function counts(work: Model, value: Value, range: ValueRange): readonly Value[] {
  const { step, largest } = stepOf(range);
  const emit = emitInto(work);
  const size = emit.Abs([value]);
  const one = emit.constant(fromNumbers("int64", [1], [1]), "one");
  const bounds = [2 ** -149, step / 2, largest / 4];
  return bounds.map((bound) => {
    const limit = emit.constant(fromNumbers("float32", [], [bound]), "bound");
    const below = emit.Cast([emit.Less([size, limit])], { to: typeCodes.float32 });
    return emit.named(`${value.name}.below`).Reshape([emit.ReduceSum([below], { keepdims: 0 }), one]);
  });
}

function stepOf({ min, max }: ValueRange): { readonly step: number; readonly largest: number } {
  const [low, high] = [Math.min(min, 0), Math.max(max, 0)];
  return { step: (high - low) / 255, largest: Math.max(-low, high) };
}

/** Three digits tell the size: -1e9, 6.29. */
function short(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) < 1e6 ? String(rounded) : rounded.toExponential().replace("+", "");
}
