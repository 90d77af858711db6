/**
 * Pruning during training: every k steps the masks are recomputed from the weights or from accumulated scores. Masks are fed like
 * parameters, so the step computes ∂L/∂m = w · ∂L/∂(w·m), also for masked entries.
 *
 * - *magnitude* (Zhu and Gupta 2017): the smallest |w| of each layer are masked. After t of n updates the remaining share is last +
 *   (first − last)(1 − t/n)³ for the cubic curve.
 * - *movement* (Sanh, Wolf and Rush 2020): S = −Σ ∂L/∂m = −Σ w·g over the steps, so weights that move towards zero are masked. "Hard"
 *   pruning follows the curve; "soft" pruning masks weights with S ≤ threshold, and each step subtracts a penalty.
 *
 * Masked weights keep their values and can return until pruning ends.
 */
import type { Selection } from "#analysis";
import { infer, layers as layersOf, maskingOf, requireStored, selectLayers, weightNeeds } from "#analysis";
import { type Batch, elementCount, Miss, type Model, type Value } from "#ir";
import { cutMask, cutSmallest, type Scores } from "../../core/math/smallest.ts";
import { setMask, stored } from "../../rewrite/edit/mask.ts";
import { curves, dropLastDigits } from "./curves.ts";
import { denseOf, type Floats, move, requireFloats, zerosLike } from "./floats.ts";
import type { OptimizedParameter } from "./optimizer.ts";
import type { Gradual } from "./train-options.ts";
import { trainedValues } from "./trained-values.ts";

/** Returns the weights to train and prune. @throws PithError E_NAME for layers that do not exist. */
export function selectPrunedWeights(
  model: Model,
  { layers, except, gradual }: Selection & { readonly gradual: Gradual },
): { readonly weights: readonly Value[]; readonly misses: readonly Miss[] } {
  const trained = trainedValues(model, { layers, except });
  const all = layersOf(model, infer(model)).filter(({ weight }) => trained.has(weight.name));
  const weights = new Set<Value>();
  const misses: Miss[] = [];
  for (const { weight, name } of selectLayers(all, { except: gradual.except })) {
    const obstacle = requireStored(weight, weightNeeds.prune);
    if (obstacle === undefined) weights.add(weight);
    else misses.push(new Miss(`is not pruned: ${obstacle.reason}`, name));
  }
  return { weights: [...weights], misses };
}

/** Masks weights that have no mask yet; a mask of ones keeps every entry. */
export async function maskWithOnes(model: Model, weights: readonly Value[]): Promise<void> {
  for (const weight of weights)
    if (maskingOf(weight) === undefined)
      await setMask(model, weight, new Uint8Array(elementCount(stored(weight).dims)).fill(1));
}

interface MaskedPair {
  readonly weight: Pick<OptimizedParameter, "name" | "values">;
  readonly mask: Pick<OptimizedParameter, "values" | "gradient">;
}

export interface GradualPruning {
  /** Adds a step's gradients to the scores. Called before the step updates the weights. */
  observe(): void;
  /** Updates the masks, if they are due. Called after `step` of `total` steps. */
  prune(step: number, total: number): Promise<void>;
  isOver(step: number, total: number): boolean;
  state(): Batch;
  /** @throws PithError E_DATA if the state belongs to other masks. */
  restore(state: Batch): void;
}

export function gradualPruning(gradual: Gradual, pairs: readonly MaskedPair[]): GradualPruning {
  const { amount, threshold, penalty, every, curve, importance, scope } = gradual;
  const isMovement = importance === "movement";
  const counts = pairs.map(({ mask }) => mask.values.length);
  const movement = isMovement ? pairs.map(({ mask }) => zerosLike(mask.values)) : [];
  const firstShares = Float64Array.from(pairs, ({ mask }) => sumOf(mask.values) / mask.values.length);
  const scoresOf = (index: number): Scores =>
    (isMovement ? movement[index] : pairs[index]?.weight.values) ?? new Float32Array();

  /** Returns how many of `count` entries remain. @param progress share of the pruning steps that are done. */
  const keptCount = (count: number, first: number, progress: number): number =>
    Math.round(dropLastDigits(count * curves[curve](progress, first, Math.min(first, 1 - (amount ?? 0)))));

  /** Returns the steps between which masks are pruned: at least one step, even in a short training. */
  const prunedSteps = (total: number): readonly [first: number, last: number] => {
    const last = Math.max(1, Math.round(gradual.end * total));
    return [Math.min(Math.round(gradual.begin * total), last - 1), last];
  };

  const pruneTo = async (indices: readonly number[], kept: number): Promise<void> => {
    const scores = indices.map(scoresOf);
    const lowest = isMovement ? Math.min(...scores.map(smallest)) : 0;
    // `cutSmallest` selects the entries with the smallest magnitude. Movement scores have a sign, so the lowest one is subtracted from all.
    const sizes = isMovement ? scores.map((values) => Float64Array.from(values, (value) => value - lowest)) : scores;
    const parts = sizes.map((values) => ({
      size: values.length,
      type: values instanceof Float32Array ? ("float32" as const) : ("float64" as const),
      mask: async () => undefined,
      scores: async () => values,
    }));
    const total = sizes.reduce((sum, { length }) => sum + length, 0);
    const cuts = await cutSmallest(parts, total - kept);
    for (const [position, index] of indices.entries()) {
      const [values, cut] = [sizes[position], cuts[position]];
      if (values !== undefined && cut !== undefined) setMaskOf(index, cutMask(undefined, values, cut), values);
    }
  };

  /** Sets the mask of a layer; keeps at least the entry with the highest score. */
  const setMaskOf = (index: number, mask: Uint8Array, scores: Scores): void => {
    if (!mask.includes(1)) mask[indexOfGreatest(scores)] = 1;
    pairs[index]?.mask.values.set(mask);
  };

  const pruneBelow = (limit: number): void => {
    for (const [index, scores] of movement.entries())
      setMaskOf(
        index,
        Uint8Array.from(scores, (score) => Number(score > limit)),
        scores,
      );
  };

  const movementKey = (index: number): string => `${pairs[index]?.weight.name}/score`;
  return {
    observe() {
      for (const [index, scores] of movement.entries()) move(scores, pairs[index]?.mask.gradient ?? scores, 1, 0);
    },
    async prune(step, total) {
      const [first, last] = prunedSteps(total);
      if (step <= first || step > last || ((step - first) % every !== 0 && step !== last)) return;
      const doneShare = (step - first) / (last - first);
      if (threshold !== undefined) pruneBelow(threshold + penalty * step);
      else if (scope === "global") {
        const totalCount = counts.reduce((sum, count) => sum + count, 0);
        const share = counts.reduce((sum, count, index) => sum + count * (firstShares[index] ?? 1), 0) / totalCount;
        await pruneTo([...pairs.keys()], keptCount(totalCount, share, doneShare));
      } else
        for (const [index, count] of counts.entries())
          await pruneTo([index], keptCount(count, firstShares[index] ?? 1, doneShare));
    },
    isOver: (step, total) => step >= prunedSteps(total)[1],
    state: () => ({
      [firstSharesKey]: denseOf(firstShares.slice()),
      ...Object.fromEntries(movement.map((scores, index) => [movementKey(index), denseOf(scores.slice())])),
    }),
    restore(state) {
      const read = (key: string, length: number): Floats => requireFloats(state[key], length, "The pruning", key);
      firstShares.set(read(firstSharesKey, firstShares.length));
      for (const [index, scores] of movement.entries()) scores.set(read(movementKey(index), scores.length));
    },
  };
}

const firstSharesKey = "left at first";

function sumOf(values: Floats): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

function smallest(values: Scores): number {
  let lowest = Number.POSITIVE_INFINITY;
  for (const value of values) lowest = Math.min(lowest, value);
  return lowest;
}

function indexOfGreatest(scores: Scores): number {
  let greatest = 0;
  for (const [index, score] of scores.entries()) if (score > (scores[greatest] ?? 0)) greatest = index;
  return greatest;
}
