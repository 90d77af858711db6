/** Rank rules: which of a decomposition's steps is taken, and which decomposition, where several could be. */
import { Miss } from "../errors.ts";
import type { Cost, Prepared, Step } from "./decomposition.ts";
import type { Candidate } from "./decompositions.ts";

export interface RankRule {
  /** Keep this many singular values; "evbmf": as many as are above the noise that the matrix is estimated to have. */
  readonly rank?: number | "evbmf" | undefined;
  /** Keep this share of the squared singular values: 0.95. */
  readonly energy?: number | undefined;
  /** Leave this share of each layer's weights, or multiply-accumulates: 0.5. */
  readonly ratio?: number | undefined;
}

export interface Choice extends Candidate {
  readonly step: Step;
}

/**
 * What a rule takes of each candidate, the best first: at a share of the weights (or multiply-accumulates) the one that loses least, at a share of
 * the energy or above the noise the one that costs least, at a rank the first. A Miss where none would be smaller.
 */
export function choicesFor(
  rule: RankRule,
  candidates: readonly Candidate[],
  whole: Cost,
  of: keyof Cost,
): readonly Choice[] | Miss {
  const found = candidates.map((candidate) => ({ ...candidate, step: stepFor(rule, candidate.prepared, whole, of) }));
  const taken = found.flatMap(({ step, ...candidate }) => (step instanceof Miss ? [] : { ...candidate, step }));
  const refused = found.find(({ step }) => step instanceof Miss)?.step;
  if (taken.length === 0) return refused instanceof Miss ? refused : new Miss("nothing decomposes it");
  if (typeof rule.rank === "number") return taken;
  const by = rule.ratio === undefined ? of : "lost";
  return taken.toSorted((a, b) => a.step[by] - b.step[by]);
}

function stepFor({ rank, energy, ratio = 1 }: RankRule, prepared: Prepared, whole: Cost, of: keyof Cost): Step | Miss {
  if (typeof rank === "number") return saving(prepared.at(rank), prepared, whole, rank);
  if (rank === "evbmf") {
    const found = prepared.aboveNoise();
    return found instanceof Miss ? found : saving(found, prepared, whole);
  }
  if (energy !== undefined) {
    // Of the whole 1e-12 is rounding, and never asks for one more.
    const found = prepared.steps.find(({ lost }) => lost <= 1 - energy + 1e-12) ?? prepared.steps.at(-1);
    return found === undefined ? new Miss("no rank makes it smaller") : saving(found, prepared, whole);
  }
  const fits = prepared.steps.findLast((step) => step[of] <= ratio * whole[of]);
  return fits === undefined ? new Miss("no rank fits the ratio") : saving(fits, prepared, whole);
}

function saving(step: Step, { at, steps }: Prepared, whole: Cost, given?: number): Step | Miss {
  if (step.weights < whole.weights) return step;
  let limit = Math.max(...(steps.at(-1)?.ranks ?? [0]));
  while (limit > 0 && at(limit).weights >= whole.weights) limit--;
  if (limit === 0) return new Miss("no rank makes it smaller");
  return new Miss(`rank ${given ?? step.ranks.join(" × ")} does not make it smaller; up to ${limit} would`);
}
