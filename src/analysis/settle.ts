/**
 * Types of what a loop carries from turn to turn. What holds before the first turn is tried; what a turn changes of it is given up (contents,
 * a size, the rank) until a turn changes nothing. Each turn gives something up for good, so it ends.
 *
 * A loop inside is walked in every turn of those around it. It continues from the types at which it settled in the turn before: the turns
 * of nested loops add up then; if it began anew they would multiply, to 2^depth.
 */
import { Miss } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Body, Inferred, Settled } from "../ops/index.ts";
import { mergeOperands } from "../ops/shared/merge-types.ts";

/** Every turn gives up something of some state. */
const mostTurns = 64;

export type Settle = Body["settle"];

/** `settle` of every body of one model. */
export function settling(): (body: Graph) => Settle {
  /** The types at which loops settled, while a loop around them takes turns. */
  const before = new Map<Graph, readonly Inferred[]>();
  let depth = 0;
  return (body) =>
    (start, turn, open): Settled | Miss => {
      if (depth === 0) before.clear();
      const own = start.map(bare);
      const merged = own.map((state, index) => {
        const last = before.get(body)?.[index];
        return last === undefined ? state : mergeOperands(state, last, (axis) => open(index, axis));
      });
      let states = merged.every((state) => state !== undefined) ? merged : own;
      depth++;
      try {
        for (let count = 0; count < mostTurns; count++) {
          const returned = turn(states);
          const next = states.map((state, index) => {
            const came = returned[index];
            return came === undefined ? undefined : mergeOperands(state, came, (axis) => open(index, axis));
          });
          const lost = next.indexOf(undefined);
          if (lost >= 0) return new Miss(`the type of loop-carried value ${lost} changes between iterations`);
          const after = next.flatMap((state) => state ?? []);
          before.set(body, after);
          if (JSON.stringify(after) === JSON.stringify(states))
            return { states: after, others: returned.slice(states.length) };
          states = after;
        }
      } finally {
        depth--;
      }
      return new Miss("the types of loop-carried values do not converge");
    };
}

function bare({ type, dims, elements, container }: Inferred): Inferred {
  if (container !== undefined) return { type, dims, container };
  return elements === undefined ? { type, dims } : { type, dims, elements };
}
