import type { Graph, Model } from "#graph";
import type { Inference } from "./infer.ts";

/** Makes a function cache its result until the graph changes. Callers share the result, so they must not modify it. */
export function cachePerRevision<T>(
  compute: (model: Model, inference: Inference) => T,
): (model: Model, inference: Inference) => T {
  const cache = new WeakMap<Inference, { readonly graph: Graph; readonly revision: number; readonly result: T }>();
  return (model, inference) => {
    const { graph } = model;
    const entry = cache.get(inference);
    if (entry?.graph === graph && entry.revision === graph.revision) return entry.result;
    const result = compute(model, inference);
    cache.set(inference, { graph, revision: graph.revision, result });
    return result;
  };
}
