/**
 * Arithmetic on elements known before the run: shapes computed in the graph (Shape → Gather → Mul → Concat → Reshape), also symbolic ones.
 * A size multiplied by a fraction is a float for a while: a number, a symbol, or a quotient of symbols that rounding turns into a dimension again.
 */
import { integerRange, toNumbers } from "../../tensor/convert.ts";
import {
  addDims,
  ceilDims,
  type Dim,
  elementCount,
  fixedDims,
  floorDims,
  isDimension,
  isSymbolic,
  multiplyDims,
  quotientDims,
  quotientParts,
  stridesOf,
} from "../../tensor/dims.ts";
import type { DataType, Dense } from "../../tensor/types.ts";
import type { Inferred, Operand, Site } from "../define.ts";

/** Shapes have few axes; a constant with more elements is data. */
export const maxElements = 64;

export const isWhole = (type: DataType): boolean => type === "int64" || type === "int32" || type === "bool";

/** Adds known elements to `inferred` if its type is one that shapes use. */
export function withElements(inferred: Inferred, elements: readonly (Dim | undefined)[] | undefined): Inferred {
  if (!isWhole(inferred.type) || elements === undefined || elements.length > maxElements) return inferred;
  return withContents(
    inferred,
    elements.map((element) => (element !== undefined && isExact(inferred.type, element) ? element : undefined)),
  );
}

/** Returns what rules know about a stored tensor: its type and dimensions, and its elements if it is small. */
export function storedFacts(type: DataType, dims: readonly number[], small: Dense | undefined): Inferred {
  if (small === undefined) return { type, dims };
  const facts = { type, dims, small };
  const count = elementCount(dims);
  // Integer vectors of any length can be axes; other tensors are shapes only if they are short.
  const isAxes = (type === "int64" || type === "int32") && dims.length <= 1;
  if (isAxes || (isWhole(type) && count <= maxElements)) return { ...facts, elements: toNumbers(small) };
  if (!isShare(type) || dims.length > 1 || count > maxFloats) return facts;
  const elements = toNumbers(small);
  return elements.every(Number.isFinite) ? { ...facts, elements } : facts;
}

/** The maximum length of a float vector whose elements are followed as scales: the axes of an image, with some reserve. */
const maxFloats = 8;
export const isShare = (type: DataType): boolean => type === "float32" || type === "float64" || type === "float16";

/** Returns whether arithmetic matches the runtime: no wrap-around, and no int64 beyond 2^53, where doubles skip integers. */
function isExact(type: DataType, element: Dim): boolean {
  if (isSymbolic(element)) return true;
  if (!isWhole(type)) return Number.isFinite(element);
  const [low, high] = type === "int32" ? integerRange.int32 : type === "bool" ? [0, 1] : [-safest, safest];
  return Number.isInteger(element) && element >= low && element <= high;
}

const safest = Number.MAX_SAFE_INTEGER;

export function exactElements(operand: Operand | undefined): readonly Dim[] | undefined {
  return operand?.elements?.every((element) => isExact(operand.type, element)) ? operand.elements : undefined;
}

/** Adds elements that were only moved, or that are floats by intention. */
export function withContents(inferred: Inferred, elements: readonly (Dim | undefined)[] | undefined): Inferred {
  const dims = fixedDims(inferred.dims);
  if (elements === undefined || dims === undefined || elements.length > maxElements) return inferred;
  if (elementCount(dims) !== elements.length) return inferred;
  return elements.every((element) => element !== undefined) ? { ...inferred, elements } : inferred;
}

export interface Contents {
  readonly dims: readonly number[];
  readonly elements: readonly Dim[];
}

export function contentsOf(operand: Operand | undefined): Contents | undefined {
  const dims = fixedDims(operand?.dims);
  const elements = operand?.elements;
  return dims === undefined || elements === undefined || elementCount(dims) !== elements.length
    ? undefined
    : { dims, elements };
}

/** Maps each position of a result to its source. */
type Mapping = (position: readonly number[]) => readonly number[];

function pickElements({ dims, elements }: Contents, result: readonly number[], from: Mapping) {
  const count = elementCount(result);
  if (count > maxElements) return undefined;
  const [sourceStrides, strides] = [stridesOf(dims), stridesOf(result)];
  return Array.from({ length: count }, (_, index) => {
    const position = result.map((size, axis) => Math.floor(index / (strides[axis] ?? 1)) % size);
    const offset = from(position).reduce((sum, step, axis) => sum + step * (sourceStrides[axis] ?? 0), 0);
    return elements[offset];
  });
}

/** Adds the elements of input 0, rearranged by a mapping, if it is known for the fixed dimensions of the input. */
export function withMoved(
  inferred: Inferred,
  site: Site,
  mappingFor: (dims: readonly number[]) => Mapping | undefined,
): Inferred {
  const [contents, result] = [contentsOf(site.inputs[0]), fixedDims(inferred.dims)];
  if (contents === undefined || result === undefined) return inferred;
  const from = mappingFor(contents.dims);
  return from === undefined ? inferred : withContents(inferred, pickElements(contents, result, from));
}

/** Combines all operands element by element, with broadcasting; undefined for unknown elements. */
export function combineElements(
  site: Site,
  combine: (...values: readonly Dim[]) => Dim | undefined,
): readonly (Dim | undefined)[] | undefined {
  const exact = site.inputs.filter((operand) => exactElements(operand) !== undefined);
  const operands = exact.flatMap((operand) => contentsOf(operand) ?? []);
  if (operands.length < site.inputs.length) return undefined;
  const rank = Math.max(0, ...operands.map(({ dims }) => dims.length));
  const result = Array.from({ length: rank }, (_, axis) => {
    const sizes = operands.map(({ dims }) => dims[axis - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
  const lists = operands.flatMap((contents) => {
    const skipped = rank - contents.dims.length;
    const from: Mapping = (position) =>
      contents.dims.map((size, axis) => (size === 1 ? 0 : (position[axis + skipped] ?? 0)));
    const list = pickElements(contents, result, from);
    return list === undefined ? [] : [list];
  });
  if (lists.length < operands.length) return undefined;
  return Array.from({ length: elementCount(result) }, (_, index) => {
    const values = lists.flatMap((list) => list[index] ?? []);
    return values.length < lists.length ? undefined : combine(...values);
  });
}

/** Returns a · b of floats; undefined if it is not a quotient of dimensions worth following. */
export function floatProduct(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a * b;
  if (!isSymbolic(a)) return floatProduct(b, a);
  const [upper, lower] = quotientParts(a) ?? [a, 1];
  if (isSymbolic(b)) return quotientDims(multiplyDims(upper, b), lower);
  for (let divisor = 1; divisor <= maxDenominator; divisor++) {
    const times = Math.round(b * divisor);
    if (Math.abs(times - b * divisor) < tolerance)
      return quotientDims(multiplyDims(upper, times), multiplyDims(lower, divisor));
  }
  return undefined;
}

/** Float32 has seven digits, which limits the denominator of a fraction that can be recognized. */
const maxDenominator = 64;
const tolerance = 1e-6;

export function floatSum(a: Dim, b: Dim, sign: 1 | -1 = 1): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a + sign * b;
  const [upper, lower] = quotientParts(a) ?? [a, 1];
  const [over, under] = quotientParts(b) ?? [b, 1];
  if (lower !== 1 || under !== 1)
    return lower === under ? quotientDims(addDims(upper, multiplyDims(sign, over)), lower) : undefined;
  return [a, b].every((dim) => isSymbolic(dim) || Number.isInteger(dim))
    ? addDims(a, multiplyDims(sign, b))
    : undefined;
}

export function floatQuotient(a: Dim, b: Dim): Dim | undefined {
  if (b === 0) return undefined;
  if (!isSymbolic(a) && !isSymbolic(b)) return a / b;
  const [upper, lower] = quotientParts(a) ?? [a, 1];
  const [over, under] = quotientParts(b) ?? [b, 1];
  if (!isSymbolic(over) && !Number.isInteger(over)) return floatProduct(a, 1 / over);
  return quotientDims(multiplyDims(upper, under), multiplyDims(lower, over));
}

/** Rounds a quotient up or down to a dimension. */
export function roundedShare(a: Dim, way: "down" | "up"): Dim {
  if (!isSymbolic(a)) return way === "down" ? Math.floor(a) : Math.ceil(a);
  const round = way === "down" ? floorDims : ceilDims;
  return round(...(quotientParts(a) ?? [a, 1]));
}

/** Returns 1 if equal, 0 if different, undefined if unknown. A dimension is never negative. */
export function equalElements(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return 1;
  if (!isSymbolic(a) && !isSymbolic(b)) return 0;
  const negative = (dim: Dim): boolean => !isSymbolic(dim) && dim < 0;
  return (negative(a) && isDimension(b)) || (negative(b) && isDimension(a)) ? 0 : undefined;
}
