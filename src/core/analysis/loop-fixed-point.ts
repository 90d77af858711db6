/**
 * Finds the types of loop-carried values that are valid in every iteration of a Loop or Scan: infers the body until nothing changes.
 * A nested loop continues from its last types, because inferring it from scratch would take 2^depth iterations.
 */
import { type Graph, Miss } from "#graph";
import type { Body, FixedPoint, Inferred } from "../ops/entry.ts";
import { mergeOperands } from "../ops/shared/merge-types.ts";

/** The maximum number of iterations. */
const maxIterations = 64;

export function createFixedPointInference(): (body: Graph) => Body["inferFixedPoint"] {
  /** The last types of nested loops, used while an outer loop iterates. */
  const lastStates = new Map<Graph, readonly Inferred[]>();
  let depth = 0;
  return (body) =>
    (start, iterate, open): FixedPoint | Miss => {
      if (depth === 0) lastStates.clear();
      const initialStates = start.map(withoutContents);
      const mergedStates = initialStates.map((state, index) => {
        const last = lastStates.get(body)?.[index];
        return last === undefined ? state : mergeOperands(state, last, (axis) => open(index, axis));
      });
      let states = mergedStates.every((state) => state !== undefined) ? mergedStates : initialStates;
      depth++;
      try {
        for (let count = 0; count < maxIterations; count++) {
          const iterationOutputs = iterate(states);
          const next = states.map((state, index) => {
            const result = iterationOutputs[index];
            return result === undefined ? undefined : mergeOperands(state, result, (axis) => open(index, axis));
          });
          const conflictIndex = next.indexOf(undefined);
          if (conflictIndex >= 0)
            return new Miss(`the type of loop-carried value ${conflictIndex} changes between iterations`);
          const nextStates = next.flatMap((state) => state ?? []);
          lastStates.set(body, nextStates);
          if (JSON.stringify(nextStates) === JSON.stringify(states))
            return { states: nextStates, others: iterationOutputs.slice(states.length) };
          states = nextStates;
        }
      } finally {
        depth--;
      }
      return new Miss("the types of loop-carried values do not converge");
    };
}

function withoutContents({ type, dims, elements, container }: Inferred): Inferred {
  if (container !== undefined) return { type, dims, container };
  return elements === undefined ? { type, dims } : { type, dims, elements };
}
