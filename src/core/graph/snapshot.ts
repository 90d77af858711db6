/** Saves the state of a model or graph, and restores it. */
import type { Graph } from "./graph.ts";
import type { Model } from "./model.ts";

/** The state of a main graph at one time, which several model snapshots can share. */
export interface GraphSnapshot {
  isCurrent(): boolean;
  restore(): void;
}

export function graphSnapshot(graph: Graph): GraphSnapshot {
  const restore = graph.snapshot();
  let { revision } = graph;
  const isCurrent = (): boolean => graph.revision === revision;
  return {
    isCurrent,
    restore() {
      if (isCurrent()) return;
      restore();
      // The restored graph has a new revision number: an inference that is cached for the old number can include later changes.
      revision = graph.revision;
    },
  };
}

/**
 * Returns a function that restores the current state of a model, with the same objects. It can be called several times. Copies no tensor.
 * @example
 * const restore = snapshot(model);
 * await prune(model, { amount: 0.5 });
 * restore();
 */
export function snapshot(model: Model, graph: GraphSnapshot = graphSnapshot(model.graph)): () => void {
  const { opsets, metadata, ...rest } = model.header;
  const [opsetEntries, metadataEntries] = [[...opsets], [...metadata]];
  const { functions } = model;
  return () => {
    graph.restore();
    Object.assign(model.header, rest);
    refill(model.header.opsets, opsetEntries);
    refill(model.header.metadata, metadataEntries);
    model.functions = functions;
  };
}

export function runAndUndo<R>(model: Model, tryChange: () => R): R {
  const restore = snapshot(model);
  try {
    return tryChange();
  } finally {
    restore();
  }
}

function refill<K, V>(map: Map<K, V>, entries: readonly (readonly [K, V])[]): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}
