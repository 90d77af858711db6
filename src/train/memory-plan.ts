/**
 * Where to cut a network for gradient checkpointing so that a step needs least memory (Chen et al. 2016, algorithm 3: a budget for what lies
 * between two kept values decides what is kept, and the budget is searched).
 *
 * For cut points c₁ … cₘ the memory of a choice is Σ bytes(cᵢ chosen) + max over parts of what the backward pass reads of a part. For each of
 * some budgets for the second, the first is made least by dynamic programming.
 */
import { computedFrom, cutPoints } from "../analysis/cut-points.ts";
import type { Value } from "../graph/graph.ts";
import { bytesFor } from "../tensor/dense.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Differentiated } from "./recompute.ts";

/** Budgets that are tried, as parts of all that is kept without checkpointing. */
const budgets = 64;

/** The values to keep; none where keeping everything needs less. */
export function chooseBoundaries(step: Differentiated, parameters: readonly Value[]): ReadonlySet<Value> {
  const { model, inference, forward } = step;
  const counted = computedFrom(model.graph, parameters, inference);
  const nodes = [...forward].filter((node) =>
    node.outputs.some((output) => output !== undefined && counted.has(output)),
  );
  const cuts = cutPoints(nodes, new Set([...counted].filter(({ type }) => fixedDims(type?.dims) !== undefined)));
  // Behind each cut point: the bytes that the backward pass reads of what was made until there.
  const read = [0];
  const ends = new Set(cuts.map(({ producer }) => producer));
  let sum = 0;
  for (const node of nodes) {
    for (const output of node.outputs)
      if (output !== undefined && [...output.uses].some((use) => !forward.has(use.node))) sum += bytesOf(output);
    if (ends.has(node)) read.push(sum);
  }
  const chosen = leastMemory(cuts.map(bytesOf), [...read, sum]);
  return new Set(chosen.flatMap((at) => cuts[at] ?? []));
}

/**
 * The cut points to choose, by their places.
 * @param sizes Bytes of each cut point.
 * @param read Bytes read of all before: the start, each cut point (which may itself be read), and the end.
 */
export function leastMemory(sizes: readonly number[], read: readonly number[]): readonly number[] {
  const total = read.at(-1) ?? 0;
  let least = total;
  let best: readonly number[] = [];
  for (let budget = 1; budget < budgets; budget++) {
    const found = within((total * budget) / budgets, sizes, read);
    if (found === undefined || found.memory >= least) continue;
    least = found.memory;
    best = found.chosen;
  }
  return best;
}

/** The cheapest choice whose parts stay within a limit. */
function within(
  limit: number,
  sizes: readonly number[],
  read: readonly number[],
): { readonly memory: number; readonly chosen: readonly number[] } | undefined {
  const count = sizes.length;
  /** Places 0 (the start), 1 … count (cut points), count + 1 (the end): what is kept at least up to there, and the place before. */
  const kept: number[] = [0];
  const before: number[] = [-1];
  for (let end = 1; end <= count + 1; end++) {
    let [least, from] = [Number.POSITIVE_INFINITY, -1];
    for (let start = end - 1; start >= 0 && (read[end] ?? 0) - (read[start] ?? 0) <= limit; start--) {
      const sum = kept[start] ?? 0;
      if (sum < least) [least, from] = [sum, start];
    }
    kept.push(least + (sizes[end - 1] ?? 0));
    before.push(from);
  }
  const sum = kept[count + 1] ?? Number.POSITIVE_INFINITY;
  if (!Number.isFinite(sum)) return undefined;
  const chosen: number[] = [];
  let largest = 0;
  for (let end = count + 1; end > 0; end = before[end] ?? -1) {
    const start = before[end] ?? -1;
    largest = Math.max(largest, (read[end] ?? 0) - (read[start] ?? 0));
    if (start > 0) chosen.unshift(start - 1);
  }
  return { memory: sum + largest, chosen };
}

function bytesOf({ type }: Value): number {
  const dims = fixedDims(type?.dims);
  return type === undefined || type.type === "string" || dims === undefined
    ? 0
    : bytesFor(type.type, elementCount(dims));
}
