/** Chooses the ranks of a layer by a rank rule, and the decomposition if several are possible. */
import { Miss } from "#ir";
import { type Cost, type Decomposition, type Problem, type Step, wholeCost } from "./decomposition.ts";
import { decompositions, type Method } from "./decompositions.ts";

/** A rank, or the share of the layer's cost to keep. With neither, the chain keeps `keptEnergy`. */
export interface RankRule {
  readonly rank?: number | undefined;
  readonly share?: number | undefined;
}

/** Share of the squared singular values that a layer without a rule keeps. */
export const keptEnergy = 0.95;

export interface MethodStep {
  readonly method: Method;
  readonly step: Step;
}

/** Returns the step that each method chooses; if none does, the first reason. @param costKind the cost to save. */
export async function chooseSteps(
  rule: RankRule,
  methods: readonly Method[],
  problem: Problem,
  costKind: keyof Cost,
): Promise<readonly MethodStep[] | Miss> {
  const choices: MethodStep[] = [];
  let firstRefusal: Miss | undefined;
  const alternatives = methods.map((method) => decompositions[method]);
  for (const method of methods) {
    const step = await chooseStep(rule, decompositions[method], problem, costKind, alternatives);
    if (step instanceof Miss) firstRefusal ??= step;
    else choices.push({ method, step });
  }
  if (choices.length === 0 && firstRefusal !== undefined) return firstRefusal;
  if (rule.rank !== undefined) return choices;
  const criterion = rule.share === undefined ? costKind : "lost";
  return choices.toSorted((a, b) => (a.step[criterion] ?? 0) - (b.step[criterion] ?? 0));
}

/** @param alternatives all compared methods. If there is only one, a share needs no losses, which take long to compute. */
async function chooseStep(
  { rank, share }: RankRule,
  decomposition: Decomposition,
  problem: Problem,
  costKind: keyof Cost,
  alternatives: readonly Decomposition[],
): Promise<Step | Miss> {
  const layerCost = wholeCost(problem);
  const requireSaving = (step: Step): Step | Miss => {
    if (step.weights < layerCost.weights) return step;
    const costs = (rank === undefined ? [decomposition] : alternatives).map(
      (each) => each.stepOfRank(problem, 1).weights,
    );
    const limit = Math.ceil(layerCost.weights / Math.min(...costs)) - 1;
    if (limit === 0) return new Miss("no rank makes the layer smaller");
    return new Miss(`rank ${rank ?? step.rank} does not make the layer smaller, ranks up to ${limit} do`);
  };
  if (rank !== undefined) return requireSaving(decomposition.stepOfRank(problem, rank));
  if (share !== undefined) {
    // Rounding down to a block would spend less than the budget of the layer, and other layers cannot use the rest.
    const unrounded = { ...problem, anyRank: true };
    const steps = alternatives.length === 1 ? decomposition.steps(unrounded) : await decomposition.spectrum(unrounded);
    const largestFitting = steps.findLast((step) => step[costKind] <= share * layerCost[costKind]);
    return largestFitting === undefined
      ? new Miss("no rank is small enough for its budget")
      : requireSaving(largestFitting);
  }
  const steps = await decomposition.spectrum(problem);
  // A tolerance of 1e-12 ignores rounding.
  const step = steps.find(({ lost = 0 }) => lost <= 1 - keptEnergy + 1e-12) ?? steps.at(-1);
  return step === undefined ? new Miss("no rank makes the layer smaller") : requireSaving(step);
}
