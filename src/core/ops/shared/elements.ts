/**
 * Computes elements of values that are known before the run, for shapes that the graph computes (Shape → Gather → Mul → Concat → Reshape). Elements
 * can be symbolic. A size multiplied by a fraction is a float: a number, a symbol, or a quotient of symbols.
 */
import type { DataType, Dense, Dim } from "#graph";
import {
  addDims,
  ceilDims,
  elementCount,
  fixedDims,
  floorDims,
  integerRange,
  isNonnegative,
  isSymbolic,
  multiplyDims,
  quotientDims,
  quotientParts,
  stridesOf,
  toNumbers,
} from "#graph";
import type { Inferred, Operand, Site } from "../define.ts";

/** Values with more elements are data, not shapes. */
export const maxElements = 64;

export const isIntegerOrBool = (type: DataType): boolean => type === "int64" || type === "int32" || type === "bool";

/** Adds elements to `inferred` if its type is integer or boolean and they are known and exact. */
export function withElements(inferred: Inferred, elements: readonly (Dim | undefined)[] | undefined): Inferred {
  if (!isIntegerOrBool(inferred.type) || elements === undefined || elements.length > maxElements) return inferred;
  return withUncheckedElements(
    inferred,
    elements.map((element) =>
      element !== undefined && isExactlyRepresented(inferred.type, element) ? element : undefined,
    ),
  );
}

/** Returns type and dimensions of a stored tensor, and its elements if it is small. */
export function describeStored(type: DataType, dims: readonly number[], small: Dense | undefined): Inferred {
  if (small === undefined) return { type, dims };
  const description = { type, dims, small };
  const count = elementCount(dims);
  // Integer vectors of any length can be axes.
  const isAxes = (type === "int64" || type === "int32") && dims.length <= 1;
  if (isAxes || (isIntegerOrBool(type) && count <= maxElements)) return { ...description, elements: toNumbers(small) };
  if (!isPlainFloat(type) || dims.length > 1 || count > maxFloats) return description;
  const elements = toNumbers(small);
  return elements.every(Number.isFinite) ? { ...description, elements } : description;
}

/** Enough for scales of the axes of an image. */
const maxFloats = 8;
export const isPlainFloat = (type: DataType): boolean => type === "float32" || type === "float64" || type === "float16";

/** Whether an element is exact as a double and in the range of its type. */
function isExactlyRepresented(type: DataType, element: Dim): boolean {
  if (isSymbolic(element)) return true;
  if (!isIntegerOrBool(type)) return Number.isFinite(element);
  const [low, high] =
    type === "int32" ? integerRange.int32 : type === "bool" ? [0, 1] : [-maxSafeInteger, maxSafeInteger];
  return Number.isInteger(element) && element >= low && element <= high;
}

const maxSafeInteger = Number.MAX_SAFE_INTEGER;

export function exactElements(operand: Operand | undefined): readonly Dim[] | undefined {
  return operand?.elements?.every((element) => isExactlyRepresented(operand.type, element))
    ? operand.elements
    : undefined;
}

/** Adds elements that were moved, or floats, without checking type and exactness. */
export function withUncheckedElements(
  inferred: Inferred,
  elements: readonly (Dim | undefined)[] | undefined,
): Inferred {
  const dims = fixedDims(inferred.dims);
  if (elements === undefined || dims === undefined || elements.length > maxElements) return inferred;
  if (elementCount(dims) !== elements.length) return inferred;
  return elements.every((element) => element !== undefined) ? { ...inferred, elements } : inferred;
}

/** Returns the first element of an operand, if it is known. */
export function knownScalarOf(operand: Operand | undefined): Dim | undefined {
  const { elements, small } = operand ?? {};
  if (elements !== undefined) return elements[0];
  return small === undefined || small.type === "string" || small.type.startsWith("complex")
    ? undefined
    : toNumbers(small)[0];
}

export interface KnownTensor {
  readonly dims: readonly number[];
  readonly elements: readonly Dim[];
}

export function knownTensorOf(operand: Operand | undefined): KnownTensor | undefined {
  const dims = fixedDims(operand?.dims);
  const elements = operand?.elements;
  return dims === undefined || elements === undefined || elementCount(dims) !== elements.length
    ? undefined
    : { dims, elements };
}

/** Returns the source position for a position of the result. */
type Mapping = (position: readonly number[]) => readonly number[];

function pickElements({ dims, elements }: KnownTensor, result: readonly number[], mapping: Mapping) {
  const count = elementCount(result);
  if (count > maxElements) return undefined;
  const [sourceStrides, strides] = [stridesOf(dims), stridesOf(result)];
  return Array.from({ length: count }, (_, index) => {
    const position = result.map((size, axis) => Math.floor(index / (strides[axis] ?? 1)) % size);
    const offset = mapping(position).reduce((sum, step, axis) => sum + step * (sourceStrides[axis] ?? 0), 0);
    return elements[offset];
  });
}

/** Adds the elements of input 0 in a new order, if they are known. */
export function withMovedElements(
  inferred: Inferred,
  site: Site,
  mappingFor: (dims: readonly number[]) => Mapping | undefined,
): Inferred {
  const [contents, result] = [knownTensorOf(site.inputs[0]), fixedDims(inferred.dims)];
  if (contents === undefined || result === undefined) return inferred;
  const mapping = mappingFor(contents.dims);
  return mapping === undefined ? inferred : withUncheckedElements(inferred, pickElements(contents, result, mapping));
}

/** Combines operands element by element, with broadcasting; undefined if an operand is unknown. */
export function combineElements(
  site: Site,
  combine: (...values: readonly Dim[]) => Dim | undefined,
): readonly (Dim | undefined)[] | undefined {
  const exactOperands = site.inputs.filter((operand) => exactElements(operand) !== undefined);
  const operands = exactOperands.flatMap((operand) => knownTensorOf(operand) ?? []);
  if (operands.length < site.inputs.length) return undefined;
  const rank = Math.max(0, ...operands.map(({ dims }) => dims.length));
  const result = Array.from({ length: rank }, (_, axis) => {
    const sizes = operands.map(({ dims }) => dims[axis - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
  const lists = operands.flatMap((contents) => {
    const missingAxes = rank - contents.dims.length;
    const from: Mapping = (position) =>
      contents.dims.map((size, axis) => (size === 1 ? 0 : (position[axis + missingAxes] ?? 0)));
    const list = pickElements(contents, result, from);
    return list === undefined ? [] : [list];
  });
  if (lists.length < operands.length) return undefined;
  return Array.from({ length: elementCount(result) }, (_, index) => {
    const values = lists.flatMap((list) => list[index] ?? []);
    return values.length < lists.length ? undefined : combine(...values);
  });
}

/** Returns a · b of floats; undefined if a symbol is multiplied by a number that is not a simple fraction. */
export function multiplyFloats(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a * b;
  if (!isSymbolic(a)) return multiplyFloats(b, a);
  const [numeratorA, denominatorA] = quotientParts(a) ?? [a, 1];
  if (isSymbolic(b)) return quotientDims(multiplyDims(numeratorA, b), denominatorA);
  for (let divisor = 1; divisor <= maxDenominator; divisor++) {
    const numerator = Math.round(b * divisor);
    if (Math.abs(numerator - b * divisor) < tolerance)
      return quotientDims(multiplyDims(numeratorA, numerator), multiplyDims(denominatorA, divisor));
  }
  return undefined;
}

/** For fractions recognized from a float32, which has seven decimal digits. */
const maxDenominator = 64;
const tolerance = 1e-6;

export function addFloats(a: Dim, b: Dim, sign: 1 | -1 = 1): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a + sign * b;
  const [numeratorA, denominatorA] = quotientParts(a) ?? [a, 1];
  const [numeratorB, denominatorB] = quotientParts(b) ?? [b, 1];
  if (denominatorA !== 1 || denominatorB !== 1)
    return denominatorA === denominatorB
      ? quotientDims(addDims(numeratorA, multiplyDims(sign, numeratorB)), denominatorA)
      : undefined;
  return [a, b].every((dim) => isSymbolic(dim) || Number.isInteger(dim))
    ? addDims(a, multiplyDims(sign, b))
    : undefined;
}

export function divideFloats(a: Dim, b: Dim): Dim | undefined {
  if (b === 0) return undefined;
  if (!isSymbolic(a) && !isSymbolic(b)) return a / b;
  const [numeratorA, denominatorA] = quotientParts(a) ?? [a, 1];
  const [numeratorB, denominatorB] = quotientParts(b) ?? [b, 1];
  if (!isSymbolic(numeratorB) && !Number.isInteger(numeratorB)) return multiplyFloats(a, 1 / numeratorB);
  return quotientDims(multiplyDims(numeratorA, denominatorB), multiplyDims(denominatorA, numeratorB));
}

export function roundQuotient(a: Dim, direction: "down" | "up"): Dim {
  if (!isSymbolic(a)) return direction === "down" ? Math.floor(a) : Math.ceil(a);
  const round = direction === "down" ? floorDims : ceilDims;
  return round(...(quotientParts(a) ?? [a, 1]));
}

/** Returns 1 if a and b are equal, 0 if they differ, undefined if this depends on symbolic dimensions. */
export function compareElements(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return 1;
  if (!isSymbolic(a) && !isSymbolic(b)) return 0;
  const isNegative = (dim: Dim): boolean => !isSymbolic(dim) && dim < 0;
  return (isNegative(a) && isNonnegative(b)) || (isNegative(b) && isNonnegative(a)) ? 0 : undefined;
}
