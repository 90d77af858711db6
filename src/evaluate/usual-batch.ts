import type { Model } from "../graph/model.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";

const mostSamples = 64;
/** Of inputs; activations take many times as much. */
const mostBytes = 8 * 2 ** 20;

export function usualBatch(models: readonly Model[]): number {
  const bytes = models.map(({ graph }) =>
    graph.feeds.reduce((sum, { type }) => sum + 4 * elementCount(fixedDims(type?.dims?.slice(1)) ?? []), 0),
  );
  return Math.max(1, Math.min(mostSamples, Math.floor(mostBytes / Math.max(1, ...bytes))));
}
