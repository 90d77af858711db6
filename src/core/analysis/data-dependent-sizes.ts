/** Finds outputs whose shape depends on input values and not only on input shapes, as in detectors and `NonZero`. */
import { dimValue, isSymbolic, type Model } from "#graph";
import { infer } from "./infer.ts";

/** Returns a function that tells whether an output has a data-dependent size along an axis, by default along any axis. */
export function dataDependentSizes(model: Model): (name: string, axis?: number) => boolean {
  infer(model);
  const inputDims = model.graph.feeds.flatMap(({ type }) => type?.dims ?? []).filter(isSymbolic);
  const sizes = Object.fromEntries(inputDims.map(({ text }) => [text, 1]));
  return (name, axis) => {
    const dims = model.graph.value(name)?.type?.dims;
    if (dims === undefined) return axis === undefined;
    return dims.some((dim, index) => (axis === undefined || index === axis) && dimValue(dim, sizes) === undefined);
  };
}
