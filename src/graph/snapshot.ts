/** Undoing: a model as it was, whatever was done to it meanwhile. */
import type { Graph } from "./graph.ts";
import type { Model } from "./model.ts";

/** What a main graph was at a revision; models that differ in their headers alone may share it. */
export interface GraphSnapshot {
  /** Whether the graph is what it was. */
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
      // A revision of its own: what was remembered of the first knows values that meanwhile were others.
      revision = graph.revision;
    },
  };
}

/**
 * What makes a model again what it is now: the very same graph, nodes and values, graphs inside nodes too; operator sets, functions and metadata.
 * Tensors are immutable, so none is copied: time and memory are in proportion to the graph. May be called several times.
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

/** Looks at what a model would be: whatever is done to it is undone. Without waiting: meanwhile others would see it changed. */
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
