/** Sizes of outputs that depend on the numbers that are fed, not on their sizes alone: as many boxes as are found. */
import type { Model } from "../graph/model.ts";
import { dimValue, isSymbolic } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

/** Whether the size of an output along an axis depends on the numbers that are fed; without an axis, whether any of its sizes does. */
export function dataDependentSizes(model: Model): (name: string, axis?: number) => boolean {
  const copy = model.clone();
  infer(copy);
  const fed = copy.graph.feeds.flatMap(({ type }) => type?.dims ?? []).filter(isSymbolic);
  const sizes = Object.fromEntries(fed.map(({ text }) => [text, 1]));
  return (name, axis) => {
    const dims = copy.graph.value(name)?.type?.dims;
    if (dims === undefined) return axis === undefined;
    return dims.some((dim, at) => (axis === undefined || at === axis) && dimValue(dim, sizes) === undefined);
  };
}
