/** Prunes layer by layer with a solver, which chooses entries by a pattern and can correct the others. */
import { weightMatrices, weightNumbers, weightStorage } from "../../core/analysis/weight.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Matrix } from "../../core/math/matrix.ts";
import type { Mask } from "../../core/math/smallest.ts";
import { cutLeast, type Scores } from "../../core/math/smallest.ts";
import { answerOf, areMatrices, awaitedAnswerOf } from "../../core/pass/own-methods.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { inMemory } from "../../core/tensor/dense.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { floatOf, stored } from "../../rewrite/edit/fold-mask.ts";
import { withEvidence } from "../calibrate/evidence.ts";
import type { MatrixMask, Pattern, Solver } from "../calibrate/solver.ts";
import { fractionOf } from "./amount.ts";
import type { AmountsFactory } from "./amounts.ts";
import type { Scorer, ScoringOptions } from "./importance.ts";
import { intersect, keptCount } from "./mask.ts";
import { type MaskOptions, prunePrepared, type ScorerFactory } from "./mask-choice.ts";
import { wholeLayer } from "./pattern.ts";
import { readRanked } from "./ranking.ts";
import type { Target } from "./targets.ts";

interface SolverOptions extends MaskOptions, Pick<ScoringOptions, "data" | "samples"> {
  readonly solver: Solver | undefined;
  readonly pattern: Pattern | undefined;
}

/** Prunes what the pattern chooses by score, without correction. */
const patternAlone = {
  id: "pattern alone",
  prune: (scores, kept, { pattern, amount }) => ({ kept: pattern.choose(scores, kept, amount) }),
} satisfies Solver;

/** Weights are written in order, so that statistics of later layers can include earlier changes. */
export async function pruneBySolver(
  model: Model,
  { solver = patternAlone, pattern = wholeLayer, ...options }: SolverOptions,
  amountsFor: AmountsFactory,
  scorerFor: ScorerFactory,
  context: Context,
): Promise<Outcome> {
  storeWeights(model);
  const whose = `The solver "${solver.id}"`;
  return withEvidence(model, "solver", solver, options, context, (knownOf) =>
    prunePrepared(model, options, scorerFor, async (targets, scorer) => {
      const amountOf = await amountsFor(targets, scorer);
      return async (target) => {
        const { layer } = target;
        context.progress(targets.indexOf(target), targets.length);
        const numbers = await numbersOf(target, scorer);
        if (numbers instanceof Miss) return numbers;
        const known = await knownOf(layer);
        if (known instanceof Miss) return known;
        const { amount, decidedBy, empties } = amountOf(target);
        const { scores, kept, mask } = numbers;
        const before = keptCount(mask);
        const goal = { pattern: checkedPattern(pattern, target), amount: fractionOf(amount, before) };
        const solution = await awaitedAnswerOf(whose, () => solver.prune?.(scores, kept, goal, known));
        if (typeof solution !== "object" || !(solution.weights === undefined || areMatrices(solution.weights)))
          throw new PithError("E_OPTION", `${whose}: expected { weights, kept } for layer "${layer.name}".`);
        checkMasks(whose, target, kept, solution.kept);
        const matrices = solution.kept.map((data) => ({ data }));
        const left = intersect(
          mask,
          Uint8Array.from(weightNumbers(layer.role, stored(target.parameter).dims, matrices)),
        );
        const after = keptCount(left);
        if (before > 0 && after === 0 && !empties) {
          const own = cutLeast(mask, numbers.flat, before - 1);
          return { target, before, after: 1, mask: async () => own, decidedBy, spared: true };
        }
        if (solution.weights !== undefined) writeWeights(whose, target, solution.weights, left);
        return { target, before, after, mask: async () => left, decidedBy };
      };
    }),
  );
}

interface LayerNumbers {
  readonly flat: Scores;
  readonly scores: readonly Matrix[];
  readonly kept: readonly MatrixMask[];
  readonly mask: Mask;
}

async function numbersOf(target: Target, scorer: Scorer): Promise<LayerNumbers | Miss> {
  const { layer, parameter } = target;
  if (weightStorage(layer) !== "float") return new Miss("its weight is not stored as float matrices", layer.name);
  const read = await readRanked(target, undefined, scorer);
  if (read instanceof Miss) return read;
  const { scores, mask = new Uint8Array(scores.length).fill(1) } = read;
  const { dims } = stored(parameter);
  const left = scores.map((score, at) => (mask[at] === 1 ? score : 0));
  const kept = weightMatrices(layer.role, dims, mask).map(({ data }) => Uint8Array.from(data));
  return { flat: scores, scores: weightMatrices(layer.role, dims, left), mask, kept };
}

/** Reports errors of a custom pattern by its name. */
function checkedPattern(pattern: Pattern, target: Target): Pattern {
  const whose = `The pattern "${pattern.id}"`;
  return {
    ...pattern,
    choose(scores, kept, amount) {
      const chosen = answerOf(whose, () => pattern.choose(scores, kept, amount));
      checkMasks(whose, target, kept, chosen);
      return chosen;
    },
  };
}

/** @throws PithError E_OPTION if the result is not a mask of the layer. */
function checkMasks(
  whose: string,
  { layer }: Target,
  kept: readonly MatrixMask[],
  chosen: readonly MatrixMask[],
): void {
  const isMask = (one: MatrixMask, group: number): boolean =>
    one?.length === kept[group]?.length && one.every((entry) => entry === 0 || entry === 1);
  if (!Array.isArray(chosen) || chosen.length !== kept.length || !chosen.every(isMask))
    throw new PithError("E_OPTION", `${whose}: expected 0 or 1 for each entry of layer "${layer.name}".`);
}

/** Writes a solver's weights, with 0 for pruned entries. @throws PithError E_OPTION if they do not fit the layer. */
function writeWeights(whose: string, { layer, parameter }: Target, weights: readonly Matrix[], left: Mask): void {
  const { dims } = stored(parameter);
  const numbers = weightNumbers(layer.role, dims, weights).map((value, at) => (left[at] === 1 ? value : 0));
  const given = weights.reduce((sum, { data }) => sum + data.length, 0);
  if (given !== left.length || !numbers.every(Number.isFinite))
    throw new PithError("E_OPTION", `${whose}: expected a finite number for each entry of layer "${layer.name}".`);
  parameter.tensor = inMemory(fromNumbers(floatOf(parameter), dims, numbers));
}
