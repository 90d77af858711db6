/**
 * Rules that make training steps faster: a stack of matrices times one matrix becomes a single Gemm, which also adds the bias and transposes.
 *      t = Transpose(w)           r = Reshape(x) [rows, inputs]
 *      p = MatMul(x, t)      →    g = Gemm(r, w, b) {transB=1}
 *      y = Add(p, b)              y = Reshape(g) [stack…, outputs]
 * In a model for inference, this gains nothing, because the runtime packs constant weights once.
 */
import { type Emit, elementCount, fixedDims, sameDims, type Value } from "#graph";
import type { Site } from "../define.ts";
import { readIntegers } from "../shared/attributes.ts";
import { reshapeTo } from "../shared/shapes.ts";
import { transposedGemmPair } from "./math.ts";
import type { PairRule } from "./rule.ts";

/** Flattens a stack of dimensions `dims` to the rows of one matrix, applies `product`, and restores the stack. */
function multiplyRows(
  emit: Emit,
  x: Value,
  dims: readonly number[],
  outputs: number,
  product: (rows: Value) => Value,
): Value {
  const stack = dims.slice(0, -1);
  const rows = reshapeTo(emit, x, [elementCount(stack), dims.at(-1) ?? 0]);
  return reshapeTo(emit, product(rows), [...stack, outputs]);
}

/** Returns the dimensions of a MatMul's left operand if it is a float32 stack of fixed size, and the right operand a matrix. */
function stackDimsOf({ inputs: [stack, matrix] }: Site): readonly number[] | undefined {
  const dims = fixedDims(stack?.dims);
  if (dims === undefined || dims.length < 3 || matrix?.dims?.length !== 2) return undefined;
  return stack?.type === "float32" ? dims : undefined;
}

const biasedProductPair: PairRule = {
  id: "biased-stack",
  description: "a stack times a matrix and its bias are a Gemm over all rows",
  first: ["MatMul"],
  second: ["Add"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input, isOnlyReader, emit }) {
    const dims = stackDimsOf(firstSite);
    const [x, w] = first.inputs;
    const bias = second.inputs[1 - input];
    const outputs = firstSite.inputs[1]?.dims?.[1];
    if (!isOnlyReader || dims === undefined || x === undefined || w === undefined || bias === undefined)
      return undefined;
    if (typeof outputs !== "number" || !sameDims(secondSite.inputs[1 - input]?.dims ?? [], [outputs])) return undefined;
    return { value: multiplyRows(emit, x, dims, outputs, (rows) => emit.Gemm([rows, w, bias])) };
  },
};

const transposedProductPair: PairRule = {
  id: "transposed-stack",
  description: "a stack times a transposed matrix is a Gemm over all rows",
  first: ["Transpose"],
  second: ["MatMul"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const dims = stackDimsOf(secondSite);
    const [x] = second.inputs;
    const [w] = first.inputs;
    const outputs = secondSite.inputs[1]?.dims?.[1];
    if (input !== 1 || dims === undefined || x === undefined || w === undefined) return undefined;
    if (typeof outputs !== "number" || (readIntegers(firstSite, "perm") ?? [1, 0])[0] !== 1) return undefined;
    return { value: multiplyRows(emit, x, dims, outputs, (rows) => emit.Gemm([rows, w], { transB: 1 })) };
  },
};

/** Each list is applied to the whole graph before the next, so that products with a bias are fused first. */
export const stepPairs: readonly (readonly PairRule[])[] = [
  [biasedProductPair],
  [transposedGemmPair, transposedProductPair],
];
