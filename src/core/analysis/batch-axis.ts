import type { Model } from "../graph/model.ts";
import { dimValue, isSymbolic, isUnknownDim } from "../tensor/dims.ts";
import { infer } from "./infer.ts";

/**
 * Returns whether a model accepts several samples per run. A first input axis counts samples if the first axis
 * of an output is proportional to it. Otherwise it counts the steps of one sample:
 *      ids: [n] → scores: [n, 10]      n samples
 *      ids: [n] → scores: [10]         one sample of n steps
 * An output size that is known only at run time can be proportional, so the function then returns true.
 */
export function hasBatchAxis(model: Model): boolean {
  const copy = model.clone();
  infer(copy);
  const { feeds, outputs } = copy.graph;
  const namedDims = (end: number | undefined): readonly string[] =>
    feeds.flatMap(({ type }) => type?.dims?.slice(0, end) ?? []).flatMap((dim) => (isSymbolic(dim) ? dim.text : []));
  const batchNames = namedDims(1);
  if (batchNames.length === 0) return true;
  const sizesFor = (first: number): Record<string, number> => ({
    ...Object.fromEntries(namedDims(undefined).map((name) => [name, 2])),
    ...Object.fromEntries(batchNames.map((name) => [name, first])),
  });
  return outputs.some(({ type, foreign }) => {
    if (foreign?.type !== undefined || foreign?.container !== undefined) return false;
    if (type?.dims === undefined) return true;
    const [first] = type.dims;
    if (first === undefined || typeof first === "number") return false;
    const [sizeOfOne, sizeOfThree] = [dimValue(first, sizesFor(1)), dimValue(first, sizesFor(3))];
    if (isUnknownDim(first) || sizeOfOne === undefined || sizeOfThree === undefined) return true;
    return sizeOfOne > 0 && sizeOfThree === 3 * sizeOfOne;
  });
}
