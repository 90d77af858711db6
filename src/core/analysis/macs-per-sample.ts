import { dimValue, formatReason, isSymbolic, Miss, type Model } from "#graph";
import { cost } from "./cost.ts";
import { infer } from "./infer.ts";

/** Returns the multiply-accumulates of one sample. A Miss if they depend on run-time sizes. */
export function macsPerSample(model: Model): number | Miss {
  const { macs, misses } = cost(model, infer(model));
  const value = macs === undefined ? undefined : dimValue(macs, assumedDimSizes(model));
  const batch = model.graph.feeds[0]?.type?.dims?.[0];
  if (value !== undefined) return value / (typeof batch === "number" ? batch || 1 : 1);
  const [first] = misses;
  return new Miss(first === undefined ? "they depend on sizes that are not known" : formatReason(first));
}

/** The assumed size of dimensions that the file does not state, such as sequence lengths and image sides. */
const defaultSize = 64;

export function assumedDimSizes({ graph }: Model): Readonly<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const { type } of graph.feeds)
    for (const [axis, dim] of (type?.dims ?? []).entries())
      if (isSymbolic(dim)) sizes[dim.text] ??= axis === 0 ? 1 : defaultSize;
  return sizes;
}
