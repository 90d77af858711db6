/** Pruning layer after layer, by their weights as matrices: what goes is chosen by a pattern from scores, or by a solver. */
import { ownOptions } from "../analysis/selection.ts";
import { weightMatrices, weightNumbers, weightStorage } from "../analysis/weight.ts";
import { withEvidence } from "../calibrate/evidence.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Matrix } from "../math/matrix.ts";
import { floatOf, stored } from "../passes/fold-mask.ts";
import { answerOf, areMatrices, awaitedAnswerOf } from "../passes/own-methods.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { type MaskChoice, type MaskWriter, prunePrepared, type ScorerFactory } from "./chosen.ts";
import { byMagnitude, type Scorer, type ScoringOptions } from "./importance.ts";
import { intersect, keptCount, type Mask } from "./mask.ts";
import { type MatrixMask, type Pattern, wholeLayer } from "./pattern.ts";
import { brokenAt, rankedBy } from "./ranked.ts";
import type { PruneSolver } from "./solver.ts";
import { type ParameterSelection, selectParameters, type Target } from "./targets.ts";

export interface LayerOptions extends ParameterSelection {
  /** Share of what is left that goes. */
  readonly amount: number;
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
}

/** What a method has of a layer. */
interface LayerNumbers {
  /** Scores of the entries, in the order of the weight: its numbers under the mask unless a criterion gives others. */
  readonly scores: readonly Matrix[];
  readonly mask: Mask;
  readonly kept: readonly MatrixMask[];
}

export function pruneByPattern(
  model: Model,
  { pattern, ...options }: LayerOptions & { readonly pattern: Pattern },
  writeMasks: MaskWriter,
  scorerFor: ScorerFactory,
): Promise<Outcome> {
  return prunePrepared(model, options, writeMasks, scorerFor, async (target, scorer) => {
    const numbers = await numbersOf(target, scorer);
    if (numbers instanceof Miss) return numbers;
    const { own, decidedBy } = ownOptions(options, target.layer);
    const whose = `The pattern "${pattern.id}"`;
    const chosen = answerOf(whose, () => pattern.choose(numbers.scores, numbers.kept, own.amount));
    return { ...choiceOf(target, numbers, chosen, whose), decidedBy };
  });
}

/** Weights are written one after the other: what comes into a layer may be asked for as those before have left it. */
export async function pruneBySolver(
  model: Model,
  {
    solver,
    pattern = wholeLayer,
    data,
    samples,
    ...options
  }: LayerOptions &
    Pick<ScoringOptions, "data" | "samples"> & {
      readonly solver: PruneSolver;
      readonly pattern: Pattern | undefined;
    },
  writeMasks: MaskWriter,
  context: Context,
): Promise<Outcome> {
  storeWeights(model);
  const selected = await selectParameters(model, options);
  const misses = [...selected.misses];
  const chosen: MaskChoice[] = [];
  const { id, evidence, of } = solver;
  await withEvidence(model, `the solver "${id}"`, evidence, { data, samples, of }, context, async (evidenceOf) => {
    for (const target of selected.targets) {
      const { layer } = target;
      const numbers = await numbersOf(target, byMagnitude);
      if (numbers instanceof Miss) {
        misses.push(numbers);
        continue;
      }
      const found = await evidenceOf(layer);
      if (found instanceof Miss) {
        misses.push(found);
        continue;
      }
      const { own, decidedBy } = ownOptions(options, layer);
      const known = { layer, evidence: found, random: random(context.seed, "solver", id, layer.name) };
      const whose = `The solver "${id}"`;
      const goal = { pattern, amount: own.amount };
      const solution = await awaitedAnswerOf(whose, () => solver.solve(numbers.scores, numbers.kept, goal, known));
      const isWhole = typeof solution === "object" && areMatrices(solution?.weights);
      if (!isWhole) throw new PithError("E_OPTION", `${whose} gave no { weights, kept } for layer "${layer.name}".`);
      const choice = choiceOf(target, numbers, solution.kept, whose);
      writeWeights(target, id, solution.weights, await choice.mask());
      chosen.push({ ...choice, decidedBy });
    }
  });
  return { changes: await writeMasks(model, chosen), misses };
}

async function numbersOf(target: Target, scorer: Scorer): Promise<LayerNumbers | Miss> {
  const { layer, parameter } = target;
  if (weightStorage(layer) !== "float")
    return new Miss("its weight is not stored as the layer reads it: it has no rows and columns", layer.name);
  const ranked = await rankedBy(target, undefined, scorer);
  if (ranked instanceof Miss) return ranked;
  const [scores, found] = [await ranked.scores(), await ranked.mask()];
  const broken = ranked.inMemory ? undefined : brokenAt(target, scores, found);
  if (broken !== undefined) return broken;
  const { dims } = stored(parameter);
  const mask = found ?? new Uint8Array(scores.length).fill(1);
  const left = scores.map((score, at) => (mask[at] === 1 ? score : 0));
  const kept = weightMatrices(layer.role, dims, mask).map(({ data }) => Uint8Array.from(data));
  return { scores: weightMatrices(layer.role, dims, left), mask, kept };
}

/** @throws PithError E_OPTION where what was chosen, by code that is not Pith's, is no mask of the layer. */
function choiceOf(
  target: Target,
  { mask, kept }: LayerNumbers,
  chosen: readonly MatrixMask[],
  whose: string,
): MaskChoice {
  const { layer, parameter } = target;
  const isMask = (one: MatrixMask, group: number): boolean =>
    one?.length === kept[group]?.length && one.every((entry) => entry === 0 || entry === 1);
  if (!Array.isArray(chosen) || chosen.length !== kept.length || !chosen.every(isMask))
    throw new PithError("E_OPTION", `${whose} did not give a 0 or a 1 for each entry of layer "${layer.name}".`);
  const matrices = chosen.map((data) => ({ data }));
  const left = intersect(mask, Uint8Array.from(weightNumbers(layer.role, stored(parameter).dims, matrices)));
  return { target, before: keptCount(mask), after: keptCount(left), mask: async () => left };
}

/** Writes what a solver made of a weight, 0 where it goes. @throws PithError E_OPTION where it does not fit the layer. */
function writeWeights({ layer, parameter }: Target, id: string, weights: readonly Matrix[], left: Mask): void {
  const { dims } = stored(parameter);
  const numbers = weightNumbers(layer.role, dims, weights).map((value, at) => (left[at] === 1 ? value : 0));
  const given = weights.reduce((sum, { data }) => sum + data.length, 0);
  if (given !== left.length || !numbers.every(Number.isFinite)) {
    const text = `The solver "${id}" did not give a finite number for each entry of layer "${layer.name}".`;
    throw new PithError("E_OPTION", text);
  }
  parameter.tensor = inMemory(fromNumbers(floatOf(parameter), dims, numbers));
}
