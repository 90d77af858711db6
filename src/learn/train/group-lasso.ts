/**
 * Sparse training: drives whole channels to zero, so that their removal afterwards changes little.
 *
 * The penalty is group lasso (Yuan and Lin 2006; Wen et al. 2016, "Learning structured sparsity in deep neural networks"), λ Σ √n
 * ‖w‖ over the n weights of each unit: all weights, biases and normalizations that are removed jointly (Fang et al. 2023,
 * "DepGraph"). The penalty has no gradient at zero, so its proximal operator follows each optimizer step with the learning rate η:
 *
 *     w ← w · max(0, 1 − η λ √n / ‖w‖)
 *
 * With an amount, only the weakest units by ‖w‖ / √n shrink at each step, and λ can grow: growing regularization (Wang et al.
 * 2021, "Neural pruning via growing regularization", here with this penalty instead of squares).
 */
import { channelGroups, type Group, infer, maskingOfProduct, removable } from "#analysis";
import { type AxisLayout, alongAxis, type Model, PithError } from "#ir";
import type { Floats } from "./floats.ts";
import type { OptimizedParameter } from "./optimizer.ts";
import type { GroupLasso } from "./train-options.ts";

interface Part {
  readonly values: Floats;
  readonly layout: AxisLayout;
  /** For each index along the axis: its unit, or -1 if the unit cannot be removed. */
  readonly unitOf: Int32Array;
}

/** Returns a function that shrinks channels after each step. @throws PithError E_OPTION if no channel can be cut. */
export function groupLasso(
  model: Model,
  parameters: readonly Pick<OptimizedParameter, "name" | "values">[],
  { strength, amount = 1, grow }: GroupLasso,
): (rate: number, progress: number) => void {
  const trainedValues = new Map(parameters.map(({ name, values }) => [name, values]));
  const groups = channelGroups(model, infer(model)).flatMap((group) => {
    const parts = partsOf(group, trainedValues);
    return parts.length === 0
      ? []
      : [{ units: group.units, parts, weakest: Math.round(amount * removable(group).length) }];
  });
  if (groups.length === 0)
    throw new PithError("E_OPTION", "groupLasso: the model has no channels that could be cut.", {
      hint: "Run `pith inspect` to list the removable channels, and `pith prune --structured 50% --dry-run` for the reasons.",
    });
  return (rate, progress) => {
    const lambda = strength * (grow ? progress : 1);
    for (const { units, parts, weakest: shrinkCount } of groups) {
      const [squares, counts] = [new Float64Array(units), new Float64Array(units)];
      for (const part of parts)
        visitRuns(part, (unit, start, end) => {
          let sum = 0;
          for (let index = start; index < end; index++) sum += (part.values[index] ?? 0) ** 2;
          squares[unit] = (squares[unit] ?? 0) + sum;
          counts[unit] = (counts[unit] ?? 0) + end - start;
        });
      const means = squares.map((sum, unit) => sum / Math.max(1, counts[unit] ?? 0));
      // Units that cannot be cut have no weights here and do not count among the weakest.
      const ascending = means.filter((_, unit) => (counts[unit] ?? 0) > 0).sort();
      const maxShrunk = shrinkCount < ascending.length ? (ascending[shrinkCount - 1] ?? -1) : Number.POSITIVE_INFINITY;
      const factors = means.map((mean) => {
        if (mean > maxShrunk) return 1;
        return mean === 0 ? 0 : Math.max(0, 1 - (rate * lambda) / Math.sqrt(mean));
      });
      for (const part of parts)
        visitRuns(part, (unit, start, end) => {
          const factor = factors[unit] ?? 1;
          for (let index = start; index < end; index++) part.values[index] = (part.values[index] ?? 0) * factor;
        });
    }
  };
}

function partsOf(group: Group, trainedValues: ReadonlyMap<string, Floats>): readonly Part[] {
  const removableUnits = new Set(removable(group));
  if (removableUnits.size === 0) return [];
  // A masked weight, its mask and their product have slices with the same units.
  const visited = new Set<string>();
  return group.slices.flatMap(({ value, axis, unitOf }) => {
    const parameter = maskingOfProduct(value)?.parameter ?? value;
    const [values, dims, key] = [
      trainedValues.get(parameter.name),
      parameter.tensor?.dims,
      `${parameter.name} ${axis}`,
    ];
    if (values === undefined || dims === undefined || visited.has(key)) return [];
    visited.add(key);
    return [
      { values, layout: alongAxis(dims, axis), unitOf: unitOf.map((unit) => (removableUnits.has(unit) ? unit : -1)) },
    ];
  });
}

function visitRuns({ layout, unitOf }: Part, visit: (unit: number, start: number, end: number) => void): void {
  const { outer, count, inner } = layout;
  for (let block = 0; block < outer; block++)
    for (let index = 0; index < count; index++) {
      const unit = unitOf[index] ?? -1;
      const start = (block * count + index) * inner;
      if (unit >= 0) visit(unit, start, start + inner);
    }
}
