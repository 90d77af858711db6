/** Rank rules: which of a decomposition's steps is taken. */
import { Miss } from "../errors.ts";
import type { Cost, Prepared, Step } from "./decomposition.ts";

export interface RankRule {
  /** Keep this many singular values. */
  readonly rank?: number | undefined;
  /** Keep this share of the squared singular values: 0.95. */
  readonly energy?: number | undefined;
  /** Leave this share of the weights: 0.5. */
  readonly ratio?: number | undefined;
}

/** The step that a rule means; a Miss where it would not make the layer smaller. */
export function stepFor({ rank, energy, ratio = 1 }: RankRule, prepared: Prepared, whole: Cost): Step | Miss {
  if (rank !== undefined) return saving(prepared.at(rank), prepared, whole, rank);
  if (energy !== undefined) {
    // Of the whole 1e-12 is rounding, and never asks for one more.
    const found = prepared.steps.find(({ lost }) => lost <= 1 - energy + 1e-12);
    return saving(found ?? (prepared.steps.at(-1) as Step), prepared, whole);
  }
  const fits = prepared.steps.findLast(({ weights }) => weights <= ratio * whole.weights);
  return fits === undefined ? new Miss("no rank fits the ratio") : saving(fits, prepared, whole);
}

function saving(step: Step, { at, steps }: Prepared, whole: Cost, given?: number): Step | Miss {
  if (step.weights < whole.weights) return step;
  const most = Math.max(...(steps.at(-1)?.ranks ?? [0]));
  let limit = most;
  while (limit > 0 && at(limit).weights >= whole.weights) limit--;
  if (limit === 0) return new Miss("no rank makes it smaller");
  return new Miss(`rank ${given ?? step.ranks.join(" × ")} does not make it smaller; up to ${limit} would`);
}
