/** Follows the links of `scale-groups.ts` from each start and records, per axis, whether its unit's factor multiplies (1) or divides (−1) it. */
import type { Value } from "../graph/graph.ts";
import { groupBy } from "../tensor/group-by.ts";
import type { Link } from "./channel-links.ts";
import type { Along, Labels } from "./units.ts";

/** A link whose ends have the same factor, or inverse factors. */
export type PowerLink = Link & { readonly inverse?: true };

/** For each axis of each value, 1 for the factor and -1 for its inverse. */
export type Powers = ReadonlyMap<Value, ReadonlyMap<number, 1 | -1>>;

/** Returns the power of each axis, relative to the first start that reaches it. `clashes` are axes that would need both powers. */
export function powersOf(
  links: readonly PowerLink[],
  starts: readonly Along[],
  labels: Labels,
): { readonly powers: Powers; readonly clashes: readonly Along[] } {
  const powers = new Map<Value, Map<number, 1 | -1>>();
  const clashes: Along[] = [];
  const directedLinks = links.flatMap(({ from, to, inverse = false }) => [
    { from, to, inverse },
    { from: to, to: from, inverse },
  ]);
  const followed = directedLinks.filter(({ from, to }) => labels.at(from) !== undefined && labels.at(to) !== undefined);
  const neighbours = groupBy(followed, ({ from }) => from.value);
  const next: Along[] = [];
  const setPower = ({ value, axis }: Along, power: 1 | -1): void => {
    if (value === undefined) return;
    const axisPowers = powers.get(value) ?? new Map<number, 1 | -1>();
    powers.set(value, axisPowers);
    const before = axisPowers.get(axis);
    if (before !== undefined && before !== power) clashes.push({ value, axis });
    if (before !== undefined) return;
    axisPowers.set(axis, power);
    next.push({ value, axis });
  };
  for (const start of starts) {
    if (start.value === undefined || powers.get(start.value)?.has(start.axis) === true) continue;
    setPower(start, 1);
    for (let end = next.pop(); end !== undefined; end = next.pop()) {
      const { value, axis } = end;
      const power = value && powers.get(value)?.get(axis);
      if (value === undefined || power === undefined) continue;
      for (const { from, to, inverse } of neighbours.get(value) ?? [])
        if (from.axis === axis) setPower(to, inverse === (power === 1) ? -1 : 1);
    }
  }
  return { powers, clashes };
}
