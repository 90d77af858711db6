/** Finds for each axis that factors reach (`scale-groups.ts`) whether the factor multiplies (1) or divides (−1) the values along it. */
import type { Value } from "../graph/graph.ts";
import { groupBy } from "../tensor/group-by.ts";
import type { Labels, ValueAxis } from "./channel-labels.ts";
import type { Link } from "./channel-links.ts";

/** A link whose ends have the same factor, or inverse factors (`isInverse`). */
export type PowerLink = Link & { readonly isInverse?: true };

/** For each axis of each value, 1 for the factor and -1 for its inverse. */
export type Powers = ReadonlyMap<Value, ReadonlyMap<number, 1 | -1>>;

/** Returns the power of each axis, relative to the first start from which links lead to the axis. `clashes` are axes that would need both powers. */
export function powersOf(
  links: readonly PowerLink[],
  starts: readonly ValueAxis[],
  labels: Labels,
): { readonly powers: Powers; readonly clashes: readonly ValueAxis[] } {
  const powers = new Map<Value, Map<number, 1 | -1>>();
  const clashes: ValueAxis[] = [];
  const directedLinks = links.flatMap(({ from, to, isInverse = false }) => [
    { from, to, isInverse },
    { from: to, to: from, isInverse },
  ]);
  const labeledLinks = directedLinks.filter(
    ({ from, to }) => labels.at(from) !== undefined && labels.at(to) !== undefined,
  );
  const neighbours = groupBy(labeledLinks, ({ from }) => from.value);
  const pending: ValueAxis[] = [];
  const setPower = ({ value, axis }: ValueAxis, power: 1 | -1): void => {
    if (value === undefined) return;
    const axisPowers = powers.get(value) ?? new Map<number, 1 | -1>();
    powers.set(value, axisPowers);
    const knownPower = axisPowers.get(axis);
    if (knownPower !== undefined && knownPower !== power) clashes.push({ value, axis });
    if (knownPower !== undefined) return;
    axisPowers.set(axis, power);
    pending.push({ value, axis });
  };
  for (const start of starts) {
    if (start.value === undefined || powers.get(start.value)?.has(start.axis) === true) continue;
    setPower(start, 1);
    for (let end = pending.pop(); end !== undefined; end = pending.pop()) {
      const { value, axis } = end;
      const power = value && powers.get(value)?.get(axis);
      if (value === undefined || power === undefined) continue;
      for (const { from, to, isInverse } of neighbours.get(value) ?? [])
        if (from.axis === axis) setPower(to, isInverse === (power === 1) ? -1 : 1);
    }
  }
  return { powers, clashes };
}
