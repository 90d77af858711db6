/** What is asked of a model again and again, while nothing of it changes. */
import type { Graph } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Inference } from "./infer.ts";

interface CacheEntry<T> {
  readonly graph: Graph;
  readonly revision: number;
  readonly found: T;
}

/** A function of a model and its inference that is computed once for each revision of the graph. The result is shared: callers must not change it. */
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
