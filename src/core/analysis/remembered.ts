import type { Graph } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Inference } from "./infer.ts";

interface CacheEntry<T> {
  readonly graph: Graph;
  readonly revision: number;
  readonly found: T;
}

/** Caches a function of a model and its inference per revision of the graph. Callers must not change the shared result. */
export function remembering<T>(
  compute: (model: Model, inference: Inference) => T,
): (model: Model, inference: Inference) => T {
  const known = new WeakMap<Inference, CacheEntry<T>>();
  return (model, inference) => {
    const { graph } = model;
    const before = known.get(inference);
    if (before?.graph === graph && before.revision === graph.revision) return before.found;
    const found = compute(model, inference);
    known.set(inference, { graph, revision: graph.revision, found });
    return found;
  };
}
