/** How many samples a batch has where nobody says it: a usual number, unless the model can only take the one that it was exported for. */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fixInputs } from "../passes/index.ts";
import { fixedDims } from "../tensor/dims.ts";

/** Usual where the model does not mind. */
export const usualBatch = 128;

/** The batch that a model was exported for, where a constant inside keeps it from taking `wanted` samples; else undefined. */
export function ownBatch(model: Model, wanted: number): number | undefined {
  const sizes = new Map(model.graph.feeds.map(({ name, type }) => [name, fixedDims(type?.dims)]));
  const [own] = new Set([...sizes.values()].map((dims) => dims?.[0]));
  if (own === undefined || own === wanted || [...sizes.values()].some((dims) => dims?.[0] !== own)) return undefined;
  try {
    const shapes = [...sizes].map(([name, dims = []]) => [name, [wanted, ...dims.slice(1)]]);
    fixInputs(model.clone(), Object.fromEntries(shapes));
    return undefined;
  } catch (error) {
    if (error instanceof PithError) return own;
    throw error;
  }
}
