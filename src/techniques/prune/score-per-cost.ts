/** Ranks channels by the loss change for the multiply-accumulates or parameters that they save; bytes of the file are parameters. */
import { assumedDimSizes, cost, infer, layers } from "#analysis";
import { dimValue, elementCount, fixedDims, Miss, type Model, type Value } from "#ir";
import type { UnitScorer } from "./channel-scores.ts";
import type { CostBound } from "./cost-bound.ts";

/** Between 1, for units whose gradients are uncorrelated, and 2, for units with equal gradients. */
const power = 1.5;

/** Converts Taylor scores s to the loss change per saved cost: units of a group change it by (Σ s^(1/p))^p, and a score is the increase of this estimate. */
export function scorePerCost(scorer: UnitScorer, { kind }: CostBound, model: Model): UnitScorer {
  const inference = infer(model);
  const [{ perNode }, sizes] = [cost(model, inference), assumedDimSizes(model)];
  const countsMacs = kind === "macs" || kind === "faster";
  const costs = new Map<Value, number>();
  // Layers that share a weight compute it several times, and store it once.
  for (const { effective, node } of layers(model, inference)) {
    const elements = elementCount(fixedDims(effective.type?.dims) ?? []);
    const macs = dimValue(perNode.get(node) ?? 0, sizes) ?? elements;
    costs.set(effective, countsMacs ? (costs.get(effective) ?? 0) + macs : elements);
  }
  return async (group) => {
    const scores = await scorer(group);
    if (scores instanceof Miss) return scores;
    const savedCosts = new Float64Array(group.units).fill(1);
    for (const { value, unitOf } of group.slices)
      for (const unit of unitOf)
        if (unit >= 0) savedCosts[unit] = (savedCosts[unit] ?? 0) + (costs.get(value) ?? 0) / unitOf.length;
    const perCost = scores.map((score, unit) => score / (savedCosts[unit] ?? 1));
    const order = Array.from(scores.keys()).sort((a, b) => (perCost[a] ?? 0) - (perCost[b] ?? 0));
    let sum = 0;
    for (const unit of order) {
      const next = sum + (scores[unit] ?? 0) ** (1 / power);
      perCost[unit] = (next ** power - sum ** power) / (savedCosts[unit] ?? 1);
      sum = next;
    }
    return perCost;
  };
}
