/**
 * Finds types of loop-carried values that hold in every iteration: drops what an iteration changes (elements, a size, the rank) until nothing does.
 * A nested loop continues from its last result; restarting it would take 2^depth iterations.
 */
import { Miss } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import type { Body, Inferred, Settled } from "../ops/entry.ts";
import { mergeOperands } from "../ops/shared/merge-types.ts";

/** A safe bound: every iteration drops a fact. */
const maxTurns = 64;

export type Settle = Body["settle"];

export function settling(): (body: Graph) => Settle {
  /** The settled types of inner loops, while an outer loop iterates. */
  const before = new Map<Graph, readonly Inferred[]>();
  let depth = 0;
  return (body) =>
    (start, turn, open): Settled | Miss => {
      if (depth === 0) before.clear();
      const initial = start.map(bare);
      const merged = initial.map((state, index) => {
        const last = before.get(body)?.[index];
        return last === undefined ? state : mergeOperands(state, last, (axis) => open(index, axis));
      });
      let states = merged.every((state) => state !== undefined) ? merged : initial;
      depth++;
      try {
        for (let count = 0; count < maxTurns; count++) {
          const returned = turn(states);
          const next = states.map((state, index) => {
            const result = returned[index];
            return result === undefined ? undefined : mergeOperands(state, result, (axis) => open(index, axis));
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
