import type { Graph } from "./graph.ts";
import type { Model } from "./model.ts";

/** A state of a main graph, which snapshots that differ only in the header can share. */
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
      // Uses a new revision: cached inferences of the old one can contain later changes.
      revision = graph.revision;
    },
  };
}

/**
 * Returns a function that restores the current state of a model, with the same graph, node and value objects, subgraphs, opsets, functions and
 * metadata. Takes linear time and memory, and copies no tensor. Can be called several times.
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

/** Calls a synchronous function that can change the model, then undoes the changes. */
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
