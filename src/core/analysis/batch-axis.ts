import { dimValue, isSymbolic, isUnknownDim, type Model } from "#graph";
import { infer } from "./infer.ts";

/**
 * Returns whether a model accepts several samples per run: an output's first axis is proportional to that of the inputs, or may be.
 *      ids: [n] → scores: [n, 10]      n samples
 *      ids: [n] → scores: [10]         one sample of n steps
 */
export function hasBatchAxis(model: Model): boolean {
  infer(model);
  const { feeds, outputs } = model.graph;
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
