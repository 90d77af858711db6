/** Outputs whose shape depends on input values, not only on input shapes: detectors, NonZero. */
import type { Model } from "../graph/model.ts";
import { dimValue, isSymbolic } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

export function dataDependentSizes(model: Model): (name: string, axis?: number) => boolean {
  infer(model);
  const fed = model.graph.feeds.flatMap(({ type }) => type?.dims ?? []).filter(isSymbolic);
  const sizes = Object.fromEntries(fed.map(({ text }) => [text, 1]));
  return (name, axis) => {
    const dims = model.graph.value(name)?.type?.dims;
    if (dims === undefined) return axis === undefined;
    return dims.some((dim, at) => (axis === undefined || at === axis) && dimValue(dim, sizes) === undefined);
  };
}
