/** Rank rules choose a step, and the decomposition if several are possible. */
import { Miss } from "../errors.ts";
import { type Cost, type Decomposition, type Problem, type Step, wholeCost } from "./decomposition.ts";
import { decompositions, type Method } from "./decompositions.ts";

export interface RankRule {
  readonly rank?: number | undefined;
  readonly energy?: number | undefined;
  readonly ratio?: number | undefined;
}

export interface Choice {
  readonly method: Method;
  readonly step: Step;
}

/** Returns a step per method, best first: by loss for a ratio, by cost for an energy. A Miss if none would be smaller. */
export async function choicesFor(
  rule: RankRule,
  methods: readonly Method[],
  problem: Problem,
  of: keyof Cost,
): Promise<readonly Choice[] | Miss> {
  const taken: Choice[] = [];
  let refused: Miss | undefined;
  for (const method of methods) {
    const step = await stepFor(rule, decompositions[method], problem, of, methods.length === 1);
    if (step instanceof Miss) refused ??= step;
    else taken.push({ method, step });
  }
  if (taken.length === 0 && refused !== undefined) return refused;
  if (rule.rank !== undefined) return taken;
  const by = rule.ratio === undefined ? of : "lost";
  return taken.toSorted((a, b) => (a.step[by] ?? 0) - (b.step[by] ?? 0));
}

/** @param alone no other method is compared with this one, so a ratio needs no losses. */
async function stepFor(
  { rank, energy, ratio = 1 }: RankRule,
  decomposition: Decomposition,
  problem: Problem,
  of: keyof Cost,
  alone: boolean,
): Promise<Step | Miss> {
  const whole = wholeCost(problem);
  const saving = (step: Step): Step | Miss => {
    if (step.weights < whole.weights) return step;
    let limit = Math.max(...decomposition.at(problem, Number.POSITIVE_INFINITY).ranks);
    while (limit > 0 && decomposition.at(problem, limit).weights >= whole.weights) limit--;
    if (limit === 0) return new Miss("no rank makes the layer smaller");
    const given = rank ?? step.ranks.join(" × ");
    return new Miss(`rank ${given} does not make the layer smaller, ranks up to ${limit} do`);
  };
  if (rank !== undefined) return saving(decomposition.at(problem, rank));
  if (energy === undefined) {
    const known = alone ? decomposition.steps?.(problem) : undefined;
    const steps = known ?? (await decomposition.spectrum(problem));
    const fits = steps.findLast((step) => step[of] <= ratio * whole[of]);
    return fits === undefined ? new Miss("no rank fits the ratio") : saving(fits);
  }
  const steps = await decomposition.spectrum(problem);
  // A tolerance of 1e-12 ignores rounding.
  const found = steps.find(({ lost = 0 }) => lost <= 1 - energy + 1e-12) ?? steps.at(-1);
  return found === undefined ? new Miss("no rank makes the layer smaller") : saving(found);
}
