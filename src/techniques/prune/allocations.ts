/** The table of allocations. Its keys are the values of the option `scope` in flags, help and recipes. */
import { roundHalfEven } from "#ir";
import { type Cut, cutSmallest, type RankedEntries, type Scores } from "../../core/math/smallest.ts";
import { methodTable } from "../shared/methods.ts";
import type { Allocation, RankedLayer } from "./allocation.ts";

const total = (layers: readonly Pick<RankedLayer, "left">[]): number => layers.reduce((sum, { left }) => sum + left, 0);

const cutLayers = (
  layers: readonly RankedLayer[],
  amount: number,
  entriesOf: (layer: RankedLayer) => Pick<RankedEntries, "scores" | "sample">,
): Promise<readonly Cut[]> => {
  const entries = layers.map((layer) => ({ size: layer.left, mask: async () => undefined, ...entriesOf(layer) }));
  return cutSmallest(entries, roundHalfEven(amount * total(layers)));
};

/** Returns the share of each layer if the lowest converted scores of all layers are pruned. @param convert can change the order of scores. */
async function sharesOfConverted(
  layers: readonly RankedLayer[],
  amount: number,
  convert: (scores: Scores) => Float32Array,
): Promise<readonly number[]> {
  const cuts = await cutLayers(layers, amount, (layer) => ({ scores: async () => convert(await layer.scores()) }));
  return cuts.map(({ prunedCount }, index) => prunedCount / Math.max(1, layers[index]?.left ?? 0));
}

export const uniform = {
  id: "uniform",
  summary: "the same share of every layer",
  shares: (layers, amount) => layers.map(() => amount),
  together: (group) => group,
} satisfies Allocation;

export const global = {
  id: "global",
  summary: "the lowest-scoring weights or channels of all layers",
  shares: (layers, amount) =>
    cutLayers(layers, amount, ({ sample, scores }) => ({ scores, ...(sample && { sample }) })),
  together: () => "all",
  over: "all layers",
} satisfies Allocation;

/**
 * Evci et al. 2020, "Rigging the Lottery": a weight of d₁ × … × dₖ keeps ε · (d₁ + … + dₖ) entries, a density of ε · Σd / Πd.
 * Layers with fewer entries than that stay dense, and ε is computed again for the other layers.
 */
export const erk = {
  id: "erk",
  summary: "Erdős–Rényi kernel: each layer keeps weights in proportion to the sum of its dimensions",
  shares(layers, amount) {
    const sumOfDims = ({ dims }: RankedLayer): number => dims.reduce((sum, dim) => sum + dim, 0);
    const dense = new Set<RankedLayer>();
    for (;;) {
      const sparse = layers.filter((layer) => !dense.has(layer));
      const epsilon =
        ((1 - amount) * total(layers) - total([...dense])) / sparse.reduce((sum, layer) => sum + sumOfDims(layer), 0);
      const full = sparse.filter((layer) => epsilon * sumOfDims(layer) >= layer.left);
      for (const layer of full) dense.add(layer);
      if (full.length === 0)
        return layers.map((layer) => (dense.has(layer) ? 0 : 1 - (epsilon * sumOfDims(layer)) / layer.left));
    }
  },
} satisfies Allocation;

/** Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-based Pruning". The largest score becomes 1, so no layer becomes empty. */
const lamp = {
  id: "lamp",
  summary: "the lowest scores of all layers, each relative to the larger scores of its layer",
  shares: (layers, amount) => sharesOfConverted(layers, amount, lampScores),
} satisfies Allocation;

/** Returns, in ascending order, the square of each score divided by the sum of the squares that are at least as large. */
export function lampScores(scores: Scores): Float32Array {
  const squares = Float64Array.from(scores, (score) => score * score).sort();
  const result = new Float32Array(squares.length);
  let sum = 0;
  for (let index = squares.length - 1; index >= 0; index--) {
    const square = squares[index] ?? 0;
    sum += square;
    result[index] = square === 0 ? 0 : square / sum;
  }
  return result;
}

/** Fang et al. 2024, "Isomorphic Pruning": scores are comparable if channels pass through the same operators along the same axes. */
export const isomorphic = {
  id: "isomorphic",
  summary: "the lowest-scoring channels of all layers with the same operators around them",
  over: "layers with the same operators around them",
  together: ({ slices }) =>
    slices
      .flatMap(({ value, axis }) => [
        ...Array.from(value.uses, ({ node, input }) => `${node.op} in${input} ${axis}`),
        ...(value.producer === undefined ? [] : [`${value.producer.op} out ${axis}`]),
      ])
      .sort()
      .join(", "),
} satisfies Allocation;

const table = { uniform, global, erk, lamp, isomorphic };

export const allocations = methodTable<Allocation, keyof typeof table>(table, {
  kind: "an allocation",
  does: ["shares", "together"],
  title: "Allocation (--scope)",
});
