/** Restoring an earlier state of a model. */
import type { Graph } from "./graph.ts";
import type { Model } from "./model.ts";

/** A state of a main graph, which snapshots of the model that differ only in the header may share. */
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
      // A new revision: inferences remembered for the old one may have been extended while the graph was changed.
      revision = graph.revision;
    },
  };
}

/**
 * Returns a function that restores the present state of a model: the same graph, node and value objects, subgraphs included; operator sets,
 * functions and metadata. Tensors are immutable, so none is copied: time and memory are linear in the graph. May be called several times.
 *
 * @example
 * const restore = snapshot(model);
 * await prune(model, { amount: 0.5 });
 * restore();
 */
export function snapshot(model: Model, graph: GraphSnapshot = graphSnapshot(model.graph)): () => void {
  const { opsets, metadata, ...rest } = model.header;
  const [versions, notes] = [[...opsets], [...metadata]];
  const { functions } = model;
  return () => {
    graph.restore();
    Object.assign(model.header, rest);
    refill(model.header.opsets, versions);
    refill(model.header.metadata, notes);
    model.functions = functions;
  };
}

/** Calls a synchronous function that may change the model, then undoes the changes. */
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
