/** Infers output shapes, and writes shapes and constants, for operator definitions. */
import {
  addDims,
  type DataType,
  type Dense,
  type Dim,
  dimsText,
  type Emit,
  extremeDims,
  fixedDims,
  fromNumbers,
  isHalf,
  Miss,
  modelError,
  type Node,
  sameDims,
  scalarOf,
  toFloat64,
  typeCodes,
  type Value,
} from "#graph";
import type { Inferred, InputRange, NodeChange, Operand, Site, ValueInterval } from "../define.ts";

/** Broadcasts by NumPy's rule. Two different symbols give their maximum, because one can be 1. */
export function broadcast(...shapes: readonly (readonly Dim[])[]): readonly Dim[] | Miss {
  const rank = Math.max(0, ...shapes.map((dims) => dims.length));
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    let resultDim: Dim = 1;
    for (const dims of shapes) {
      const dim = dims[dims.length - rank + axis] ?? 1;
      if (dim === resultDim || dim === 1) continue;
      if (resultDim === 1) resultDim = dim;
      else if (typeof dim === "number" && typeof resultDim === "number") {
        return new Miss(`${shapes.map(dimsText).join(" and ")} do not broadcast`);
      } else if (typeof dim === "number") resultDim = dim;
      else if (typeof resultDim !== "number") resultDim = extremeDims("max", [resultDim, dim]);
    }
    result.push(resultDim);
  }
  return result;
}

/** Returns an operand that the schema requires. @throws PithError E_MODEL if it is missing. */
export function requireInput(site: Site, input: number): Operand {
  const operand = site.inputs[input];
  if (operand === undefined) throw modelError(`input ${input} is missing.`);
  return operand;
}

/** Returns an input that the schema requires. @throws PithError E_MODEL if it is missing. */
export function requireValue(value: Value | undefined): Value {
  if (value === undefined) throw modelError("a required input is missing.");
  return value;
}

export function dimsAt(site: Site, input: number): readonly Dim[] | Miss {
  return site.inputs[input]?.dims ?? new Miss(`the rank of input ${input} is not known`);
}

export const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, index) => from + index);

export const invertPermutation = (perm: readonly number[]): number[] => perm.map((_, axis) => perm.indexOf(axis));

export function withDims<T>(
  site: Site,
  inputs: readonly number[],
  compute: (...dims: readonly (readonly Dim[])[]) => T,
): T | Miss {
  const unknownInput = inputs.find((input) => site.inputs[input]?.dims === undefined);
  if (unknownInput !== undefined) return new Miss(`the rank of input ${unknownInput} is not known`);
  return compute(...inputs.map((input) => site.inputs[input]?.dims ?? []));
}

/** Infers a single output. `computeDims` receives the dimensions of `inputs`. */
export function inferShape(
  site: Site,
  computeDims: (...dims: readonly (readonly Dim[])[]) => readonly Dim[] | undefined | Miss,
  type: DataType = requireInput(site, 0).type,
  inputs: readonly number[] = [0],
): readonly Inferred[] | Miss {
  if (inputs.some((input) => site.inputs[input]?.dims === undefined)) return [{ type, dims: undefined }];
  const dims = withDims(site, inputs, computeDims);
  return dims instanceof Miss ? dims : [{ type, dims }];
}

export function sameAsInput(site: Site): readonly Inferred[] {
  const { type, dims, container } = requireInput(site, 0);
  return [container === undefined ? { type, dims } : { type, dims, container }];
}

/** Requires that an input contains positions along an axis of length `count`. */
export function requirePositions(input: number, count: Dim | undefined): readonly InputRange[] {
  return count === undefined ? [] : [{ input, low: 0, high: addDims(count, -1), strict: true }];
}

export function requireLengths(input: number, count: Dim | undefined): readonly InputRange[] {
  return count === undefined ? [] : [{ input, low: 1, high: count, strict: true }];
}

/** Requires index tuples at input 1 whose entries are below the length of the shortest axis. */
export function requireTuples(axes: readonly Dim[]): readonly InputRange[] {
  return axes.flatMap((count) => requirePositions(1, count));
}

/** Requires that inputs are within the intervals that the readers of the output require. */
export function forwardWanted(output: readonly ValueInterval[], ...inputs: readonly number[]): readonly InputRange[] {
  return inputs.flatMap((input) => output.map((interval) => ({ input, ...interval })));
}

export function countAttribute(name: string, count: Dim | undefined): NodeChange {
  return typeof count === "number" ? { attributes: { [name]: { kind: "int", value: count } } } : {};
}

/** Replaces lists of integers, which are attributes in old opsets and the inputs from 1 on in new opsets. */
export function replaceLists(isInAttributes: boolean, lists: Readonly<Record<string, readonly number[]>>): NodeChange {
  const entries = Object.entries(lists);
  if (isInAttributes)
    return { attributes: Object.fromEntries(entries.map(([name, value]) => [name, { kind: "ints", value }])) };
  return { inputs: Object.fromEntries(entries.map(([, value], index) => [1 + index, value])) };
}

/** Slice requires one type for all lists, so the new list has the type of the others. */
export function listFor({ inputs }: Pick<Node, "inputs">, input: number, numbers: readonly number[]): Dense {
  const type = (inputs[input] ?? inputs[1])?.type?.type === "int32" ? "int32" : "int64";
  return fromNumbers(type, [numbers.length], numbers);
}

/** Returns the offsets to add to a shape that is computed at run time, so that its known dimensions become `newDims`. */
export function shapeChange(shape: readonly Dim[], newDims: readonly (Dim | undefined)[]): number[] {
  return shape.map((dim, axis) => {
    const size = newDims[axis];
    return typeof dim === "number" && dim > 0 && typeof size === "number" ? size - dim : 0;
  });
}

/** Returns 0 if the dimensions of input 0 are known to equal those of the output. */
export function inputIfSameDims(site: Site, outDims: readonly Dim[] | undefined | Miss): 0 | undefined {
  const dims = site.inputs[0]?.dims;
  return dims !== undefined && outDims !== undefined && !(outDims instanceof Miss) && sameDims(dims, outDims)
    ? 0
    : undefined;
}

export function isConstant(operand: Operand | undefined, value: number): boolean {
  const small = operand?.small;
  if (small === undefined || small.type === "string" || small.data.length === 0) return false;
  return toFloat64(small).every((element) => element === value);
}

export const scalar = (emit: Emit, type: DataType, value: number): Value =>
  emit.constant(scalarOf(type, value), "scalar");

export function reshapeTo(emit: Emit, value: Value | undefined, dims: readonly number[]): Value {
  const shape = integersConstant(emit, dims);
  // A 0 in a shape copies a dimension, unless `allowzero` (opset 14) is set.
  return dims.includes(0) ? emit.Reshape([value, shape], { allowzero: 1 }) : emit.Reshape([value, shape]);
}

export function fillWith(emit: Emit, type: DataType, dims: readonly number[], value: number): Value {
  return emit.Expand([scalar(emit, type, value), dims]);
}

export function integersConstant(emit: Emit, values: readonly number[], name = "integers"): Value {
  return emit.constant(fromNumbers("int64", [values.length], values), name);
}

export function typeOf(value: Value | undefined): DataType {
  if (value?.type === undefined) throw new RangeError(`the type of "${value?.name}" is not known`);
  return value.type.type;
}

export const castLike = (emit: Emit, value: Value, like: Value | undefined): Value =>
  typeOf(value) === typeOf(like) ? value : emit.CastLike([value, like]);

/** Sums of 16-bit floats lose less precision in float32. */
export function widenToFloat32(emit: Emit, x: Value): Value {
  return isHalf(typeOf(x)) ? emit.Cast([x], { to: typeCodes.float32 }) : x;
}

/** @throws RangeError if a dimension is symbolic: gradients are written for fixed batch sizes. */
export function sizesOf(value: Value | undefined): readonly number[] {
  const dims = fixedDims(value?.type?.dims);
  if (dims === undefined) throw new RangeError(`the dimensions of "${value?.name}" are not fixed`);
  return dims;
}

export const sumOf = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
