/** Halves the images of models whose runs are expensive, if the network allows it: 1×3×512×512 → 1×3×256×256. */
import type { Model } from "#ir";
import { imageSides } from "../run/random-images.ts";
import { isExpensive } from "./candidate-sizes.ts";

const minSide = 64;

/** Returns copies for smaller images, if a sample is expensive. */
export function withSmallerImages<M extends Record<"original" | "result", Model>>(models: M): M | undefined {
  let { original, result } = models;
  while (isExpensive(original)) {
    const [smallOriginal, smallResult] = [halveSides(original), halveSides(result)];
    if (smallOriginal === undefined || smallResult === undefined) break;
    [original, result] = [smallOriginal, smallResult];
  }
  return original === models.original ? undefined : { ...models, original, result };
}

/** Returns a copy of a model for images of half the size. */
function halveSides(model: Model): Model | undefined {
  const small = model.clone();
  const sides = small.graph.feeds.map(({ type }) => {
    const dims = type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim : axis === 0 ? 1 : 0)) ?? [];
    return imageSides(dims)?.sides ?? [];
  });
  if (sides.flat().length === 0) return undefined;
  for (const [index, feed] of small.graph.feeds.entries()) {
    const dims = feed.type?.dims?.map((dim, axis) =>
      sides[index]?.includes(axis) === true && typeof dim === "number" ? dim / 2 : dim,
    );
    if (sides[index]?.some((axis) => !Number.isInteger(dims?.[axis]) || Number(dims?.[axis]) < minSide))
      return undefined;
    if (feed.type !== undefined) feed.type = { ...feed.type, dims };
  }
  // Stated shapes of other values apply to the original size only.
  for (const value of small.graph.values()) {
    if (value.producer === undefined || value.type === undefined) continue;
    value.type = small.graph.outputs.includes(value) ? { type: value.type.type, dims: undefined } : undefined;
  }
  return small;
}
