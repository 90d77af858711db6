import { dimValue, isSymbolic, isUnknownDim, type Model } from "#graph";
import { infer } from "./infer.ts";

/**
 * Returns whether a model accepts several samples per run. It does if the size of an output's first axis is proportional to the size of the inputs'
 * first axis. In other models, the first input axis counts the steps of one sample:
 *      ids: [n] → scores: [n, 10]      n samples
 *      ids: [n] → scores: [10]         one sample of n steps
 * Returns true if no input names its first axis, or if an output size is known only at run time, because it may be proportional.
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
