/** Undoing: a model as it was, whatever was done to it meanwhile. */
import type { Model } from "./model.ts";

/**
 * What makes a model again what it is now: the very same graph, nodes and values, graphs inside nodes too; operator sets, functions and metadata.
 * Tensors are immutable, so none is copied: time and memory are in proportion to the graph. May be called several times. What is remembered of the
 * model at its present revision holds again.
 *
 * @example
 * const restore = snapshot(model);
 * await prune(model, { amount: 0.5 });
 * restore();
 */
export function snapshot(model: Model): () => void {
  const restore = model.graph.snapshot();
  const { opsets, metadata, ...rest } = model.header;
  const [versions, notes] = [[...opsets], [...metadata]];
  const { functions } = model;
  return () => {
    restore();
    Object.assign(model.header, rest);
    refill(model.header.opsets, versions);
    refill(model.header.metadata, notes);
    model.functions = functions;
  };
}

/** Looks at what a model would be: whatever is done to it is undone. */
export function tentatively<R>(model: Model, look: () => R): R {
  const restore = snapshot(model);
  try {
    return look();
  } finally {
    restore();
  }
}

function refill<K, V>(map: Map<K, V>, entries: readonly (readonly [K, V])[]): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}
