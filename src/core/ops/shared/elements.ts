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
export const mostElements = 64;

export const isWhole = (type: DataType): boolean => type === "int64" || type === "int32" || type === "bool";

/** Adds known elements to `inferred` if its type is one that shapes use. */
export function withElements(inferred: Inferred, elements: readonly (Dim | undefined)[] | undefined): Inferred {
  if (!isWhole(inferred.type) || elements === undefined || elements.length > mostElements) return inferred;
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
  if ((type === "int64" || type === "int32") && dims.length <= 1) return { ...facts, elements: toNumbers(small) };
  if (isWhole(type) && count <= mostElements) return { ...facts, elements: toNumbers(small) };
  if (!isShare(type) || dims.length > 1 || count > mostShares) return facts;
  const elements = toNumbers(small);
  return elements.every(Number.isFinite) ? { ...facts, elements } : facts;
}

/** The maximum length of a float vector that scales sizes: the axes of an image, with some reserve. */
const mostShares = 8;
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
  if (elements === undefined || dims === undefined || elements.length > mostElements) return inferred;
  if (elementCount(dims) !== elements.length) return inferred;
  const known = elements.filter((element) => element !== undefined);
  return known.length === elements.length ? { ...inferred, elements: known } : inferred;
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

/** Rearranges elements: `from` maps each position of the result to its source. */
export function pickElements(
  { dims, elements }: Contents,
  result: readonly number[],
  from: (place: readonly number[]) => readonly number[],
): readonly (Dim | undefined)[] | undefined {
  const count = elementCount(result);
  if (count > mostElements) return undefined;
  const [own, other] = [stridesOf(dims), stridesOf(result)];
  return Array.from({ length: count }, (_, at) => {
    const place = result.map((size, axis) => Math.floor(at / (other[axis] ?? 1)) % size);
    return elements[from(place).reduce((sum, index, axis) => sum + index * (own[axis] ?? 0), 0)];
  });
}

/** Adds the elements of input 0, rearranged by `from`, which is undefined if the mapping is unknown. */
export function withMoved(
  inferred: Inferred,
  site: Site,
  from: (contents: Contents) => ((place: readonly number[]) => readonly number[]) | undefined,
): Inferred {
  const [contents, result] = [contentsOf(site.inputs[0]), fixedDims(inferred.dims)];
  const found = contents === undefined || result === undefined ? undefined : from(contents);
  if (contents === undefined || result === undefined || found === undefined) return inferred;
  return withContents(inferred, pickElements(contents, result, found));
}

/** Combines all operands element by element, with broadcasting; undefined for unknown elements. */
export function combineElements(
  site: Site,
  combine: (...values: readonly Dim[]) => Dim | undefined,
): readonly (Dim | undefined)[] | undefined {
  const exact = site.inputs.filter((operand) => exactElements(operand) !== undefined);
  const known = exact.flatMap((operand) => contentsOf(operand) ?? []);
  if (known.length < site.inputs.length) return undefined;
  const rank = Math.max(0, ...known.map(({ dims }) => dims.length));
  const result = Array.from({ length: rank }, (_, axis) => {
    const sizes = known.map(({ dims }) => dims[axis - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
  const lists = known.map((contents) => {
    const skipped = rank - contents.dims.length;
    return pickElements(contents, result, (place) =>
      contents.dims.map((size, axis) => (size === 1 ? 0 : (place[axis + skipped] ?? 0))),
    );
  });
  if (lists.some((list) => list === undefined)) return undefined;
  return Array.from({ length: elementCount(result) }, (_, at) => {
    const values = lists.flatMap((list) => list?.[at] ?? []);
    return values.length < lists.length ? undefined : combine(...values);
  });
}

/** Returns a · b of floats; undefined if it is not a quotient of dimensions worth following. */
export function floatProduct(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a * b;
  if (!isSymbolic(a)) return floatProduct(b, a);
  const [upper, lower] = quotientParts(a) ?? [a, 1];
  if (isSymbolic(b)) return quotientDims(multiplyDims(upper, b), lower);
  for (let divisor = 1; divisor <= finest; divisor++) {
    const times = Math.round(b * divisor);
    if (Math.abs(times - b * divisor) < nearly)
      return quotientDims(multiplyDims(upper, times), multiplyDims(lower, divisor));
  }
  return undefined;
}

/** The maximum denominator of a fraction: float32 has seven digits. */
const finest = 64;
const nearly = 1e-6;

export function floatSum(a: Dim, b: Dim, sign: 1 | -1 = 1): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a + sign * b;
  const [upper, lower] = quotientParts(a) ?? [a, 1];
  const [over, under] = quotientParts(b) ?? [b, 1];
  if (lower !== 1 || under !== 1) {
    return lower === under ? quotientDims(addDims(upper, multiplyDims(sign, over)), lower) : undefined;
  }
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
  const parts = quotientParts(a);
  if (parts === undefined) return a;
  return way === "down" ? floorDims(...parts) : ceilDims(...parts);
}

/** Returns 1 if equal, 0 if different, undefined if unknown. A dimension is never negative. */
export function equalElements(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return 1;
  if (!isSymbolic(a) && !isSymbolic(b)) return 0;
  const negative = (dim: Dim): boolean => !isSymbolic(dim) && dim < 0;
  return (negative(a) && isDimension(b)) || (negative(b) && isDimension(a)) ? 0 : undefined;
}
