/**
 * Scores the units of a group (channels that are removed jointly) by the criterion's `units`, or by a norm of their entries' scores.
 *
 * Each producing layer contributes the sum over a unit's slice, relative to the mean over its units; the result is the mean over
 * layers, so scales and sizes of layers do not matter. (Torch-Pruning divides by the group mean afterwards.) Estimates of the
 * loss change are comparable and are summed instead.
 *
 * Weights are the effective values (`readWeight`): masked entries are 0, and integers are scaled per channel.
 */
import type { Group } from "../../core/analysis/channels.ts";
import { outputKind } from "../../core/analysis/output-kind.ts";
import { describeNonFinite } from "../../core/analysis/weight.ts";
import type { Engine } from "../../core/engine/index.ts";
import { Miss, PithError, stripPeriod } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { awaitedAnswerOf } from "../../core/pass/custom-methods.ts";
import type { Context } from "../../core/pass/pass.ts";
import { toFloats } from "../../core/tensor/convert.ts";
import { random } from "../../core/tensor/random.ts";
import type { Loss } from "../../learn/train/loss.ts";
import { readStoredValue } from "../../rewrite/edit/stored.ts";
import { readWeight, type WeightNumbers } from "../../rewrite/edit/weight-numbers.ts";
import { type ChannelSlice, channelEvidence, findSlices, type Network, networkOf } from "./channel-places.ts";
import type { ScoredGroup } from "./choose-units.ts";
import { activation, criteria, magnitude, taylor } from "./criteria.ts";
import { type ChannelPlace, type Channels, isChannelEvidence } from "./criterion.ts";
import { missesOf } from "./group-words.ts";
import { createEvidence, type Scorer, type ScoringOptions, scorerOf } from "./importance.ts";
import { channelNorms, rowsAlong } from "./mask.ts";

export type UnitScorer = (group: Group) => Promise<Float64Array | Miss>;

/** @param norm 1 for sums of |score|, 2 for sums of squares. */
export function scoreByNorm(model: Model, scorer: Scorer, norm: 1 | 2, engine: Engine): UnitScorer {
  const [network, readSlice] = [networkOf(model), weightReader(model, engine)];
  return (group) =>
    reduceSlices(group, network, "layers", "mean", async (slice) => {
      const weight = await readSlice(slice);
      if (weight instanceof Miss) return weight;
      const { dims, values } = weight;
      const scores = slice.layer === undefined ? values : scorer.scores(slice.layer, dims, values);
      return scores instanceof Miss ? scores : channelNorms(scores, dims, slice.axis, norm).map((size) => size ** norm);
    });
}

function weightReader(model: Model, engine: Engine): (slice: ChannelSlice) => Promise<WeightNumbers | Miss> {
  const readStored = async ({ value }: ChannelSlice): Promise<WeightNumbers> => {
    const dense = await readStoredValue(model, value, engine);
    return { dims: dense.dims, values: toFloats(dense) };
  };
  return async (slice) => {
    const { value, layer } = slice;
    const numbers = layer === undefined ? await readStored(slice) : await readWeight(model, layer, engine);
    const nonFiniteText = numbers instanceof Miss ? undefined : describeNonFinite(numbers.values);
    return nonFiniteText === undefined ? numbers : new Miss(`"${value.name}" ${nonFiniteText}`);
  };
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
  const { id, evidence: statistic } = criterion;
  const layers = groups.flatMap((group) => group.layers);
  if (criterion.units === undefined)
    return scoreByNorm(model, await scorerOf(model, layers, options, context), norm, context.engine);
  const evidenceOf: ReadonlyMap<object, unknown> = isChannelEvidence(statistic)
    ? await channelEvidence(model, groups, id, statistic, options, context)
    : await createEvidence(id, statistic, model, layers, options, context);
  const [network, readSlice] = [networkOf(model), weightReader(model, context.engine)];
  const subject = `The importance "${id}"`;
  return async (group) => {
    const evidence = evidenceOf.get(group);
    if (evidence instanceof Miss) return evidence;
    const name = group.layers[0]?.name ?? "";
    const invalidScores = (text: string): PithError =>
      new PithError(
        "E_OPTION",
        `${subject}: expected a Float64Array with a score for each unit of "${name}", got ${text}.`,
      );
    const scoreAll =
      (reduction: "mean" | "sum") => (place: ChannelPlace, score: (channels: Channels) => ArrayLike<number>) =>
        reduceSlices(group, network, place, reduction, async (slice) => {
          const { value, axis, layer, unitOf } = slice;
          const evidence = evidenceOf.get(layer?.weight ?? value);
          if (evidence instanceof Miss) return evidence;
          const weight = place === "activations" ? { dims: [0], values: new Float64Array() } : await readSlice(slice);
          if (weight instanceof Miss) return weight;
          const { dims, values } = weight;
          const rows = (numbers: ArrayLike<number> = values) => rowsAlong(numbers, dims, axis);
          const scores = score({ name: layer?.name ?? value.name, values, rows, evidence });
          if (scores.length !== unitOf.length)
            throw invalidScores(`${scores.length} scores for ${unitOf.length} channels`);
          return scores;
        });
    const numbers = random(context.seed, "importance", id, name);
    const units = { count: group.units, evidence, random: numbers, mean: scoreAll("mean"), sum: scoreAll("sum") };
    const scores = await awaitedAnswerOf(subject, async () => criterion.units?.(units));
    if (scores instanceof Miss) return scores;
    if (!(scores instanceof Float64Array)) throw invalidScores("another value");
    if (scores.length !== group.units) throw invalidScores(`${scores.length} scores for ${group.units} units`);
    return scores.some(Number.isNaN) ? new Miss(`the criterion "${id}" gives NaN`) : scores;
  };
}

/**
 * Returns the scorer of the criterion that the options name. The default is Taylor scores for classifiers, activations for other
 * models, and magnitudes without samples. The default Taylor scores need no labels: they measure the change of the predictions.
 */
export async function defaultUnitScorer(
  model: Model,
  groups: readonly Group[],
  options: ChannelScoring,
  context: Context,
): Promise<UnitScorer> {
  const { data, loss } = options;
  const scoreBy = (change: Partial<ChannelScoring>) => unitScorerOf(model, groups, { ...options, ...change }, context);
  if (options.importance !== undefined) return scoreBy({});
  if (data === undefined) return scoreBy({ importance: magnitude });
  const note = (text: string): void => context.log({ id: "criterion", text, level: "note" });
  let reason = "the model does not score classes";
  if (loss !== undefined || ["classes", "labels"].includes(outputKind(model, undefined))) {
    try {
      const scorer = await scoreBy({ importance: taylor, loss: loss ?? (await evenCrossEntropy()) });
      note("channels are ranked by Taylor scores");
      return scorer;
    } catch (error) {
      // The error of a loss that the user chose is not hidden.
      if (loss !== undefined || !(error instanceof PithError) || error.code === "E_STOPPED") throw error;
      reason = stripPeriod(error.message);
    }
  }
  const scorer = await scoreBy({ importance: activation });
  note(`channels are ranked by activations: ${reason}`);
  return scorer;
}

/**
 * Returns the cross-entropy between the even distribution and the predictions. Its gradient at the scores is softmax − 1 / classes, so
 * it does not vanish for samples that the network was trained on, as the gradient of the loss on labels does.
 */
async function evenCrossEntropy(): Promise<Loss> {
  // Training is loaded only if gradients are needed.
  const [{ outputOf }, { requireClasses, scoreRows }] = [
    await import("../../learn/train/loss.ts"),
    await import("../../learn/train/losses/cross-entropy.ts"),
  ];
  return {
    name: "cross-entropy with the even distribution",
    build(scope) {
      const { rows, classes } = scoreRows(scope, outputOf(scope));
      requireClasses(classes);
      const { emit } = scope;
      const value = emit.Neg([emit.ReduceMean([emit.LogSoftmax([rows], { axis: -1 })], { keepdims: 0 })]);
      return { value, feeds: () => ({}) };
    },
  };
}

/** Scores groups one at a time, so that memory holds the weights of one layer. */
export async function scoreGroups(
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

/** Sums the scores of each unit over all tensors (for "mean": each relative to its mean, then averaged). One tensor is in memory at a time. */
async function reduceSlices(
  group: Group,
  network: Network,
  place: ChannelPlace,
  reduction: "mean" | "sum",
  score: (slice: ChannelSlice) => Promise<ArrayLike<number> | Miss>,
): Promise<Float64Array | Miss> {
  const slices = findSlices(place, group, network);
  if (slices instanceof Miss) return slices;
  const totals = new Float64Array(group.units);
  const tensorCounts = new Float64Array(group.units);
  for (const slice of slices) {
    const scores = await score(slice);
    if (scores instanceof Miss) return scores;
    const sums = new Map<number, number>();
    slice.unitOf.forEach((unit, index) => {
      if (unit >= 0) sums.set(unit, (sums.get(unit) ?? 0) + (scores[index] ?? 0));
    });
    const mean = [...sums.values()].reduce((total, sum) => total + sum, 0) / Math.max(1, sums.size);
    const scale = reduction === "sum" || mean === 0 ? 1 : mean;
    for (const [unit, sum] of sums) {
      totals[unit] = (totals[unit] ?? 0) + sum / scale;
      tensorCounts[unit] = (tensorCounts[unit] ?? 0) + 1;
    }
  }
  return reduction === "sum" ? totals : totals.map((total, unit) => total / Math.max(1, tensorCounts[unit] ?? 0));
}
