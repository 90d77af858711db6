/**
 * Pruning during training: every n steps the masks are recomputed from the weights or from accumulated scores. Masks are fed like
 * parameters, so the step computes ∂L/∂m = w · ∂L/∂(w·m), also for masked entries.
 *
 * - *magnitude* (Zhu and Gupta 2017): the smallest |w| of each layer go. After t of n updates the remaining share is last +
 *   (first − last)(1 − t/n)³ for the cubic curve.
 * - *movement* (Sanh, Wolf and Rush 2020): S = −Σ ∂L/∂m = −Σ w·g over the steps, so weights that move towards zero go. "Hard"
 *   follows the curve; "soft" removes those with S ≤ threshold, and each step subtracts a penalty.
 *
 * Masked weights keep their values and can return until pruning ends.
 */
import { infer } from "../../core/analysis/infer.ts";
import { layers as layersOf } from "../../core/analysis/layers.ts";
import { maskedAt } from "../../core/analysis/masks.ts";
import { selectLayers } from "../../core/analysis/selection.ts";
import { requireStored, weightNeeds } from "../../core/analysis/weight.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { curves, withoutLastDigits } from "../../core/math/curves.ts";
import { cutMask, cutSmallest, type Scores } from "../../core/math/smallest.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { stored } from "../../rewrite/edit/fold-mask.ts";
import { setMask } from "../../rewrite/edit/set-mask.ts";
import { denseOf, type Floats, floatsOf, run, zerosLike } from "./floats.ts";
import type { Gradual } from "./gradual-options.ts";
import { trainedValues } from "./groups.ts";
import type { OptimizedParameter } from "./optimizer.ts";

interface Pruned {
  readonly layers?: string | readonly string[] | undefined;
  readonly except?: string | readonly string[] | undefined;
  readonly gradual: Gradual;
}

/** Returns the weights to train and prune. @throws PithError E_NAME for layers that do not exist. */
export function prunedWeights(
  model: Model,
  { layers, except, gradual }: Pruned,
): { readonly weights: readonly Value[]; readonly misses: readonly Miss[] } {
  const trained = trainedValues(model, { layers, except });
  const all = layersOf(model, infer(model)).filter(({ weight }) => trained.has(weight.name));
  const weights = new Set<Value>();
  const misses: Miss[] = [];
  for (const { weight, name } of selectLayers(all, { except: gradual.except })) {
    const refused = requireStored(weight, weightNeeds.prune);
    if (refused === undefined) weights.add(weight);
    else misses.push(new Miss(`is not pruned: ${refused.reason}`, name));
  }
  return { weights: [...weights], misses };
}

export async function maskWithOnes(model: Model, weights: readonly Value[]): Promise<void> {
  for (const weight of weights)
    if (maskedAt(weight) === undefined)
      await setMask(model, weight, new Uint8Array(elementCount(stored(weight).dims)).fill(1));
}

export interface MaskedPair {
  readonly weight: Pick<OptimizedParameter, "name" | "values">;
  readonly mask: Pick<OptimizedParameter, "values" | "gradient">;
}

export interface GradualPruning {
  /** Called after a step's gradients, before its update. */
  observe(): void;
  /** Called after `step` of `total` steps. */
  prune(step: number, total: number): Promise<void>;
  isOver(step: number, total: number): boolean;
  state(): Batch;
  /** @throws PithError E_DATA if the state belongs to other masks. */
  restore(state: Batch): void;
}

export function gradualPruning(gradual: Gradual, pairs: readonly MaskedPair[]): GradualPruning {
  const { amount, threshold, penalty, every, curve, importance, scope } = gradual;
  const counts = pairs.map(({ mask }) => mask.values.length);
  const moved = importance === "movement" ? pairs.map(({ mask }) => zerosLike(mask.values)) : [];
  const left = Float64Array.from(pairs, ({ mask }) => mean(mask.values));
  /** Returns how many of `count` entries remain after a share `done` of the pruning. */
  const leftOf = (count: number, first: number, done: number): number =>
    Math.round(withoutLastDigits(count * curves[curve](done, first, Math.min(first, 1 - (amount ?? 0)))));

  /** Returns the steps between which masks are pruned: at least one, however short the training. */
  const within = (total: number): readonly [first: number, last: number] => {
    const last = Math.max(1, Math.round(gradual.end * total));
    return [Math.min(Math.round(gradual.begin * total), last - 1), last];
  };

  const cutTo = async (chosen: readonly number[], kept: number): Promise<void> => {
    const scores = chosen.map((at) => scoresOf(at));
    const least = importance === "movement" ? Math.min(...scores.map(smallest)) : 0;
    // The smallest |score| goes, and movement scores are signed.
    const sizes = importance === "movement" ? scores.map((own) => Float64Array.from(own, (s) => s - least)) : scores;
    const parts = sizes.map((own) => ({
      size: own.length,
      type: own instanceof Float32Array ? ("float32" as const) : ("float64" as const),
      mask: async () => undefined,
      scores: async () => own,
    }));
    const all = sizes.reduce((sum, own) => sum + own.length, 0);
    const cuts = await cutSmallest(parts, all - kept);
    for (const [place, at] of chosen.entries()) {
      const [own, cut] = [sizes[place], cuts[place]];
      if (own !== undefined && cut !== undefined) put(at, cutMask(undefined, own, cut), own);
    }
  };

  const scoresOf = (at: number): Scores =>
    (importance === "movement" ? moved[at] : pairs[at]?.weight.values) ?? new Float32Array();

  /** Keeps at least the greatest entry of each layer. */
  const put = (at: number, mask: Uint8Array, scores: Scores): void => {
    if (!mask.includes(1)) mask[indexOfGreatest(scores)] = 1;
    pairs[at]?.mask.values.set(mask);
  };

  const atThreshold = (step: number): void => {
    const limit = (threshold ?? 0) + penalty * step;
    moved.forEach((scores, at) => {
      put(
        at,
        Uint8Array.from(scores, (score) => Number(score > limit)),
        scores,
      );
    });
  };

  return {
    observe() {
      for (const [at, scores] of moved.entries()) run("move", [scores], [pairs[at]?.mask.gradient ?? scores], 1, 0);
    },
    async prune(step, total) {
      const [first, last] = within(total);
      if (step <= first || step > last || ((step - first) % every !== 0 && step !== last)) return;
      const done = (step - first) / (last - first);
      if (threshold !== undefined) atThreshold(step);
      else if (scope === "global") {
        const all = counts.reduce((sum, count) => sum + count, 0);
        const share = counts.reduce((sum, count, at) => sum + count * (left[at] ?? 1), 0) / all;
        await cutTo([...pairs.keys()], leftOf(all, share, done));
      } else for (const [at, count] of counts.entries()) await cutTo([at], leftOf(count, left[at] ?? 1, done));
    },
    isOver: (step, total) => step >= within(total)[1],
    state: () => ({
      [beginning]: denseOf(left.slice()),
      ...Object.fromEntries(moved.map((scores, at) => [`${pairs[at]?.weight.name}/${score}`, denseOf(scores.slice())])),
    }),
    restore(state) {
      left.set(arrayOf(state, beginning, left.length));
      for (const [at, scores] of moved.entries())
        scores.set(arrayOf(state, `${pairs[at]?.weight.name}/${score}`, scores.length));
    },
  };
}

const beginning = "left at first";
const score = "score";

function arrayOf(state: Batch, name: string, length: number): Floats {
  const found = floatsOf(state[name], length);
  if (found !== undefined) return found;
  throw new PithError("E_DATA", `The checkpoint has no "${name}" of ${length} floats.`, {
    hint: "Training continues only with the model and the pruning that it started with.",
  });
}

function mean(values: Floats): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function smallest(values: Scores): number {
  let least = Number.POSITIVE_INFINITY;
  for (const value of values) least = Math.min(least, value);
  return least;
}

function indexOfGreatest(scores: Scores): number {
  let greatest = 0;
  for (let at = 1; at < scores.length; at++) if ((scores[at] ?? 0) > (scores[greatest] ?? 0)) greatest = at;
  return greatest;
}
