/** Scores the entries of weights by a pruning criterion. */
import {
  describeNonFinite,
  hasFloatWeights,
  infer,
  type Layer,
  layers as layersOf,
  weightElements,
  weightMatrices,
  weightStorage,
} from "#analysis";
import type { Dataset } from "#batches";
import { Miss, type Model, optionError, PithError, random, unsupportedError, type Value } from "#ir";
import type { Context } from "#pass";
import type { Matrix } from "../../core/math/matrix.ts";
import type { GradientStatistic } from "../../learn/train/gradient-statistic.ts";
import type { Loss } from "../../learn/train/loss.ts";
import type { Scores } from "../../rewrite/edit/mask.ts";
import { withEvidence } from "../calibrate/layer-evidence.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { answerOf, areMatrices, statisticOf } from "../shared/methods.ts";
import { channelsOnly, criteria } from "./criteria.ts";
import { type Importance, isChannelEvidence } from "./criterion.ts";

export interface Scorer {
  /** @param hasMatrices whether the values have the layout of the layer's weight. @throws PithError E_OPTION for invalid scores. */
  scores(layer: Layer, dims: readonly number[], values: Scores, hasMatrices?: boolean): Scores | Miss;
}

export const byMagnitude: Scorer = { scores: (_layer, _dims, values) => values };

export async function scorerOf(
  model: Model,
  selectedLayers: readonly Layer[],
  options: ScoringOptions,
  context: Context,
): Promise<Scorer> {
  const criterion = criteria.of(options.importance ?? "magnitude");
  if (criterion === criteria.of("magnitude")) return byMagnitude;
  const { id, scores: scoresOf, evidence: statistic } = criterion;
  if (scoresOf === undefined || isChannelEvidence(statistic)) throw optionError(`"importance": ${channelsOnly(id)}.`);
  const evidenceOf = await createEvidence(id, statistic, model, selectedLayers, options, context);
  return {
    scores(layer, dims, values, hasMatrices = true) {
      const evidence = evidenceOf.get(layer.weight);
      if (evidence instanceof Miss) return evidence;
      const { role, name } = layer;
      const noMatricesError = unsupportedError(`Layer "${name}": its weight is computed, so it has no matrices.`);
      const matrices = (): readonly Matrix[] => {
        if (hasMatrices) return weightMatrices(role, dims, values);
        throw noMatricesError;
      };
      try {
        const subject = `The importance "${id}"`;
        const numbers = random(context.seed, "importance", id, name);
        const weight = { layer, dims, values, matrices, evidence, random: numbers };
        const result = answerOf(subject, () => scoresOf.call(criterion, weight));
        const invalidScores = (text: string): PithError =>
          optionError(`${subject}: expected a score for each weight of layer "${name}", got ${text}.`);
        const isFlat = result instanceof Float32Array || result instanceof Float64Array;
        if (!isFlat && !areMatrices(result))
          throw invalidScores("neither a Float64Array nor a list of matrices { rows, columns, data }");
        const count = isFlat ? result.length : result.reduce((sum, { data }) => sum + data.length, 0);
        if (count !== values.length) throw invalidScores(`${count} scores for ${values.length} weights`);
        const scores = isFlat ? result : weightElements(role, dims, result);
        if (scores.some(Number.isNaN) && describeNonFinite(values) === undefined) throw invalidScores("NaN");
        return scores;
      } catch (error) {
        if (error !== noMatricesError) throw error;
        return new Miss("its weight is computed: `simplify` can store it", name);
      }
    },
  };
}

export interface ScoringOptions {
  readonly importance?: string | Importance | undefined;
  readonly data?: Dataset | string | undefined;
  readonly samples?: number | undefined;
  readonly loss?: string | Loss | undefined;
}

export async function createEvidence(
  id: string,
  statistic: Statistic<unknown> | GradientStatistic<unknown> | undefined,
  model: Model,
  chosen: readonly Layer[],
  options: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<Value, unknown>> {
  if (statistic !== undefined && "of" in statistic) {
    const storedNames = chosen.filter((layer) => weightStorage(layer) === "float").map(({ weight }) => weight.name);
    const method = { id, evidence: statistic };
    const gradients = await gradientEvidence(model, [...new Set(storedNames)], method, options, context);
    const noGradient = ({ name }: Layer) => new Miss("the loss has no gradient with respect to its weight", name);
    return new Map(chosen.map((layer) => [layer.weight, gradients.get(layer.weight.name) ?? noGradient(layer)]));
  }
  const evidenceOf = new Map<Value, unknown>();
  const weights = new Set(chosen.map(({ weight }) => weight));
  const method = statistic === undefined ? { id } : { id, evidence: statistic };
  await withEvidence(model, "importance", method, options, context, async (contextOf) => {
    for (const layer of layersOf(model, infer(model))) {
      if (!weights.has(layer.weight) || evidenceOf.has(layer.weight)) continue;
      const layerContext = await contextOf(layer);
      evidenceOf.set(layer.weight, layerContext instanceof Miss ? layerContext : layerContext.evidence);
    }
  });
  return evidenceOf;
}

/** Returns gradient statistics by tensor name. Tensors without a gradient are omitted. */
export async function gradientEvidence<E>(
  model: Model,
  names: readonly string[],
  { id, evidence }: { readonly id: string; readonly evidence: GradientStatistic<E> },
  { data, samples, loss = "cross-entropy" }: ScoringOptions,
  context: Context,
): Promise<ReadonlyMap<string, E>> {
  const statistic = statisticOf(`The importance "${id}"`, evidence, answerOf);
  if (data === undefined) throw optionError(`"data": the criterion "${id}" requires labeled samples.`);
  const [{ observeGradients }, { parseLoss }] = [
    await import("../../learn/train/gradient-statistic.ts"),
    await import("../../learn/train/losses/parse.ts"),
  ];
  const options = { data, samples, loss: typeof loss === "string" ? parseLoss(loss) : loss };
  try {
    return await observeGradients(model, names, statistic, options, context);
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_NOT_DIFFERENTIABLE") throw error;
    const floats = hasFloatWeights(model, infer(model)) ? [] : ["Prune the float model, then quantize it."];
    const hint = [...floats, "Use a criterion without gradients, such as magnitude, which needs no samples."];
    throw error.reworded({ at: `The criterion "${id}" needs gradients`, hint });
  }
}
