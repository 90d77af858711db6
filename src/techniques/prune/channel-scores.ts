/**
 * Scores units of a group by the criterion (`units`) or by a norm of the scores of their entries.
 *
 * Each producing layer contributes the sum over a unit's slice, relative to the mean over its units; the result is the mean over
 * layers, so scales and sizes of layers do not matter. (Torch-Pruning divides by the group mean afterwards.) Estimates of the
 * loss change are comparable and are summed instead.
 *
 * Weights are the effective values (`readWeight`): masked entries are 0, and integers are scaled per channel.
 */
import type { Group } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import { brokenNumbers } from "../../core/analysis/weight.ts";
import type { Engine } from "../../core/engine/index.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { awaitedAnswerOf } from "../../core/pass/own-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { toFloats } from "../../core/tensor/convert.ts";
import { random } from "../../core/tensor/random.ts";
import { readStoredValue } from "../../rewrite/edit/stored.ts";
import { readWeight, type WeightNumbers } from "../../rewrite/edit/weight-numbers.ts";
import { type ChannelSlice, channelsAt } from "./channel-places.ts";
import type { ScoredGroup } from "./choose-units.ts";
import { type ChannelPlace, type Channels, isChannelEvidence } from "./criteria/criterion.ts";
import { criteria } from "./criteria/index.ts";
import { missesOf } from "./group-words.ts";
import { evidenceFor, type Scorer, type ScoringOptions, scorerOf } from "./importance.ts";
import { channelNorms, rowsAlong } from "./mask.ts";

export type UnitScorer = (group: Group) => Promise<Float64Array | Miss>;

/** @param norm 1 for sums of |score|, 2 for sums of squares. */
export function byNorm(model: Model, scorer: Scorer, norm: 1 | 2, engine: Engine): UnitScorer {
  return (group) =>
    reduced(model, group, "layers", "mean", async (slice) => {
      const { axis, layer } = slice;
      const read = await numbersOf(model, slice, engine);
      if (read instanceof Miss) return read;
      const { dims, values } = read;
      const scores = layer === undefined ? values : scorer.scores(layer, dims, values);
      return scores instanceof Miss ? scores : channelNorms(scores, dims, axis, norm).map((size) => size ** norm);
    });
}

/** Reads a layer's weight, or another stored tensor with the channels. */
async function numbersOf(model: Model, { value, layer }: ChannelSlice, engine: Engine): Promise<WeightNumbers | Miss> {
  const read = layer === undefined ? await storedNumbers(model, value, engine) : await readWeight(model, layer, engine);
  const broken = read instanceof Miss ? undefined : brokenNumbers(read.values);
  return broken === undefined ? read : new Miss(`"${value.name}" ${broken}`);
}

async function storedNumbers(model: Model, value: Value, engine: Engine): Promise<WeightNumbers> {
  const dense = await readStoredValue(model, value, engine);
  return { dims: dense.dims, values: toFloats(dense) };
}

export interface ChannelScoring extends ScoringOptions {
  /** Channels are ranked by the sum of |score| (1) or of its squares (2). */
  readonly norm: 1 | 2;
}

export async function unitScorerOf(
  model: Model,
  groups: readonly Group[],
  { norm, ...options }: ChannelScoring,
  context: Context,
): Promise<UnitScorer> {
  const criterion = criteria.of(options.importance ?? "magnitude");
  const { id, evidence } = criterion;
  const layers = groups.flatMap((group) => group.layers);
  if (criterion.units === undefined)
    return byNorm(model, await scorerOf(model, layers, options, context), norm, context.engine);
  const known: ReadonlyMap<object, unknown> = isChannelEvidence(evidence)
    ? await (await import("./channel-evidence.ts")).channelEvidence(model, groups, { id, evidence }, options, context)
    : await evidenceFor({ id, ...(evidence && { evidence }) }, model, layers, options, context);
  const whose = `The importance "${id}"`;
  return async (group) => {
    const evidence = known.get(group);
    if (evidence instanceof Miss) return evidence;
    const named = group.layers[0]?.name ?? "";
    const fault = (text: string): PithError =>
      new PithError(
        "E_OPTION",
        `${whose}: expected a Float64Array with a score for each unit of "${named}", got ${text}.`,
      );
    const over = (how: "mean" | "sum") => (place: ChannelPlace, score: (channels: Channels) => ArrayLike<number>) =>
      reduced(model, group, place, how, async (slice) => {
        const { value, axis, layer, unitOf } = slice;
        const evidence = known.get(layer?.weight ?? value);
        if (evidence instanceof Miss) return evidence;
        const nothing = { dims: [0], values: new Float64Array() };
        const read = place === "activations" ? nothing : await numbersOf(model, slice, context.engine);
        if (read instanceof Miss) return read;
        const { dims, values } = read;
        const rows = (numbers: ArrayLike<number> = values) => rowsAlong(numbers, dims, axis);
        const scores = score({ name: layer?.name ?? value.name, values, rows, evidence });
        if (scores.length !== unitOf.length) throw fault(`${scores.length} scores for ${unitOf.length} channels`);
        return scores;
      });
    const numbers = random(context.seed, "importance", id, named);
    const units = { count: group.units, evidence, random: numbers, mean: over("mean"), sum: over("sum") };
    const scores = await awaitedAnswerOf(whose, async () => criterion.units?.(units));
    if (scores instanceof Miss) return scores;
    if (!(scores instanceof Float64Array)) throw fault("another value");
    if (scores.length !== group.units) throw fault(`${scores.length} scores for ${group.units} units`);
    return scores.some(Number.isNaN) ? new Miss(`the criterion "${id}" gives NaN`) : scores;
  };
}

/** Scores groups one at a time, so that memory holds the weights of one layer. */
export async function scoredGroups(
  groups: readonly Group[],
  scorer: UnitScorer,
): Promise<{ readonly scored: readonly ScoredGroup[]; readonly misses: readonly Miss[] }> {
  const scored: ScoredGroup[] = [];
  const misses: Miss[] = [];
  for (const group of groups) {
    const scores = await scorer(group);
    if (scores instanceof Miss)
      misses.push(...missesOf(group, `its channels cannot be ranked: ${scores.reason}`, scores.at));
    else scored.push({ group, scores });
  }
  return { scored, misses };
}

/** Sums per unit, tensor by tensor, so that memory holds one. */
async function reduced(
  model: Model,
  group: Group,
  place: ChannelPlace,
  how: "mean" | "sum",
  score: (slice: ChannelSlice) => Promise<ArrayLike<number> | Miss>,
): Promise<Float64Array | Miss> {
  const slices = channelsAt(place, model, infer(model), group);
  if (slices instanceof Miss) return slices;
  const totals = new Float64Array(group.units);
  const tensors = new Float64Array(group.units);
  for (const slice of slices) {
    const scores = await score(slice);
    if (scores instanceof Miss) return scores;
    const own = new Map<number, number>();
    slice.unitOf.forEach((unit, index) => {
      if (unit >= 0) own.set(unit, (own.get(unit) ?? 0) + (scores[index] ?? 0));
    });
    const mean = [...own.values()].reduce((sum, one) => sum + one, 0) / Math.max(1, own.size);
    const scale = how === "sum" || mean === 0 ? 1 : mean;
    for (const [unit, one] of own) {
      totals[unit] = (totals[unit] ?? 0) + one / scale;
      tensors[unit] = (tensors[unit] ?? 0) + 1;
    }
  }
  return how === "sum" ? totals : totals.map((total, unit) => total / Math.max(1, tensors[unit] ?? 0));
}
