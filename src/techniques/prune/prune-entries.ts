/** Prunes individual weights layer by layer: those with the lowest scores, or those that a solver chooses, which can correct the other weights. */
import { weightElements, weightMatrices, weightStorage } from "#analysis";
import { fromNumbers, inMemory, Miss, type Model, optionError, PithError, roundHalfEven } from "#ir";
import type { Context, Outcome } from "#pass";
import type { Matrix } from "../../core/math/matrix.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { floatOf, type Mask, type Scores, stored } from "../../rewrite/edit/mask.ts";
import { withEvidence } from "../calibrate/layer-evidence.ts";
import type { MatrixMask, Pattern, Solver } from "../calibrate/solver.ts";
import { answerOf, areMatrices, awaitedAnswerOf } from "../shared/methods.ts";
import type { AmountsFactory } from "./amounts.ts";
import type { Scorer, ScoringOptions } from "./importance.ts";
import { intersect, keptCount } from "./mask.ts";
import { type MaskOptions, pruneByMasks, type ScorerFactory, thresholdChoice } from "./mask-choice.ts";
import { entriesPattern } from "./pattern.ts";
import { readRanked } from "./ranking.ts";
import { findThresholds, pruneLowest } from "./smallest-entries.ts";
import type { Weight } from "./targets.ts";

export function pruneByScores(
  model: Model,
  options: MaskOptions,
  amountsFor: AmountsFactory,
  scorerFor?: ScorerFactory,
): Promise<Outcome> {
  return pruneByMasks(model, options, scorerFor, async (targets, scorer) => {
    const amountOf = await amountsFor(targets, scorer);
    return async (target) => {
      const { amount, decidedBy, empties, cut: sharedCut } = amountOf(target);
      if (sharedCut !== undefined && (empties || sharedCut.cut.prunedCount < sharedCut.before))
        return { ...(await thresholdChoice(target, sharedCut.ranked, sharedCut.before, sharedCut.cut)), decidedBy };
      const rankedEntries = await readRanked(target, scorer);
      if (rankedEntries instanceof Miss) return rankedEntries;
      const { ranked, mask, scores, before } = rankedEntries;
      // The search for the threshold reads scores and mask several times, so it gets both from memory.
      const cachedRanking = { ...ranked, mask: async () => mask, scores: async () => scores };
      const { name } = target.layer;
      try {
        const count = roundHalfEven(amount * before);
        if (count === 0 && decidedBy !== "global")
          return new Miss("its own amount in `overrides` removes nothing", name);
        const keepsOneEntry = !empties && count > 0 && count === before;
        const [cut] = await findThresholds([cachedRanking], keepsOneEntry ? count - 1 : count);
        if (cut === undefined) throw new Error("internal: nothing was cut");
        return { ...(await thresholdChoice(target, ranked, before, cut)), decidedBy, keepsLastEntry: keepsOneEntry };
      } catch (error) {
        if (!(error instanceof PithError)) throw error;
        const hint = `To prune the other layers, exclude this one: \`except: "${name}"\`.`;
        throw error.reworded({ at: `Layer "${name}"`, hint });
      }
    };
  });
}

interface SolverOptions extends MaskOptions, Pick<ScoringOptions, "data" | "samples"> {
  readonly solver: Solver | undefined;
  readonly pattern: Pattern | undefined;
}

/** The solver that is used for a pattern without a solver: prunes the entries that the pattern chooses, without correction. */
const patternAlone = {
  id: "pattern alone",
  prune: (scores, kept, { pattern, amount }) => ({ kept: pattern.choose(scores, kept, amount) }),
} satisfies Solver;

/** Prunes by a solver. Weights are written layer by layer, so that the statistics of later layers can include earlier changes. */
export async function pruneBySolver(
  model: Model,
  { solver = patternAlone, pattern = entriesPattern, ...options }: SolverOptions,
  amountsFor: AmountsFactory,
  scorerFor: ScorerFactory,
  context: Context,
): Promise<Outcome> {
  storeWeights(model);
  const subject = `The solver "${solver.id}"`;
  return withEvidence(model, "solver", solver, options, context, (contextOf) =>
    pruneByMasks(model, options, scorerFor, async (targets, scorer) => {
      const amountOf = await amountsFor(targets, scorer);
      return async (target) => {
        const { layer } = target;
        context.progress(targets.indexOf(target), targets.length);
        const numbers = await readNumbers(target, scorer);
        if (numbers instanceof Miss) return numbers;
        const layerContext = await contextOf(layer);
        if (layerContext instanceof Miss) return layerContext;
        const { amount, decidedBy, empties } = amountOf(target);
        const { scores, kept, mask } = numbers;
        const before = keptCount(mask);
        const goal = { pattern: requirePatternFits(pattern, target), amount };
        const solution = await awaitedAnswerOf(subject, () => solver.prune?.(scores, kept, goal, layerContext));
        if (typeof solution !== "object" || !(solution.weights === undefined || areMatrices(solution.weights)))
          throw optionError(`${subject}: expected { weights, kept } for layer "${layer.name}".`);
        checkMasks(subject, target, kept, solution.kept);
        const matrices = solution.kept.map((data) => ({ data }));
        const solutionMask = Uint8Array.from(weightElements(layer.role, stored(target.parameter).dims, matrices));
        const result = intersect(mask, solutionMask);
        const after = keptCount(result);
        if (before > 0 && after === 0 && !empties) {
          const largest = pruneLowest(mask, numbers.flat, before - 1);
          return { target, before, after: 1, mask: async () => largest, decidedBy, keepsLastEntry: true };
        }
        if (solution.weights !== undefined) writeWeights(subject, target, solution.weights, result);
        return { target, before, after, mask: async () => result, decidedBy };
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

async function readNumbers(target: Weight, scorer: Scorer): Promise<LayerNumbers | Miss> {
  const { layer, parameter } = target;
  if (weightStorage(layer) !== "float") return new Miss("its weight is not stored as float matrices", layer.name);
  const rankedEntries = await readRanked(target, scorer);
  if (rankedEntries instanceof Miss) return rankedEntries;
  const { scores, mask = new Uint8Array(scores.length).fill(1) } = rankedEntries;
  const { dims } = stored(parameter);
  const remaining = scores.map((score, index) => (mask[index] === 1 ? score : 0));
  const masks = weightMatrices(layer.role, dims, mask).map(({ data }) => Uint8Array.from(data));
  return { flat: scores, scores: weightMatrices(layer.role, dims, remaining), mask, kept: masks };
}

/** Wraps a pattern, so that an error about its result names the pattern. */
function requirePatternFits(pattern: Pattern, target: Weight): Pattern {
  const subject = `The pattern "${pattern.id}"`;
  return {
    ...pattern,
    choose(scores, kept, amount) {
      const chosenMasks = answerOf(subject, () => pattern.choose(scores, kept, amount));
      checkMasks(subject, target, kept, chosenMasks);
      return chosenMasks;
    },
  };
}

/** @throws PithError E_OPTION if the result is not a mask of the layer. */
function checkMasks(
  subject: string,
  { layer }: Weight,
  keptMasks: readonly MatrixMask[],
  chosenMasks: readonly MatrixMask[],
): void {
  const isMask = (mask: MatrixMask, group: number): boolean =>
    mask?.length === keptMasks[group]?.length && mask.every((entry) => entry === 0 || entry === 1);
  if (!Array.isArray(chosenMasks) || chosenMasks.length !== keptMasks.length || !chosenMasks.every(isMask))
    throw optionError(`${subject}: expected 0 or 1 for each entry of layer "${layer.name}".`);
}

/** Writes a solver's weights, with 0 for pruned entries. @throws PithError E_OPTION if they do not fit the layer. */
function writeWeights(subject: string, { layer, parameter }: Weight, weights: readonly Matrix[], mask: Mask): void {
  const { dims } = stored(parameter);
  const numbers = weightElements(layer.role, dims, weights).map((value, index) => (mask[index] === 1 ? value : 0));
  const count = weights.reduce((sum, { data }) => sum + data.length, 0);
  if (count !== mask.length || !numbers.every(Number.isFinite))
    throw optionError(`${subject}: expected a finite number for each entry of layer "${layer.name}".`);
  parameter.tensor = inMemory(fromNumbers(floatOf(parameter), dims, numbers));
}
