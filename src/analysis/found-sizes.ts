/** Outputs whose sizes depend on the numbers that are fed, not only on their sizes: as many boxes as are found. */
import type { Model } from "../graph/model.ts";
import { dimValue, isSymbolic } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

/** Whether an output of that name is as large as what is found in the numbers that are fed. */
export function foundSizes(model: Model): (name: string) => boolean {
  const copy = model.clone();
  infer(copy);
  const fed = copy.graph.feeds.flatMap(({ type }) => type?.dims ?? []).filter(isSymbolic);
  const sizes = Object.fromEntries(fed.map(({ text }) => [text, 1]));
  return (name) => copy.graph.value(name)?.type?.dims?.some((dim) => dimValue(dim, sizes) === undefined) ?? true;
}
