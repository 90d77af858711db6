/**
 * Arithmetic on contents that are known before the run: shapes computed in the graph (Shape → Gather → Mul → Concat → Reshape), symbolic
 * dimensions included. Contents are followed through vectors and scalars of a few dozen elements.
 */
import { type Dim, isSymbolic } from "../tensor/dims.ts";
import type { Inferred, Operand, Site } from "./define.ts";

/** Shapes have few axes; a constant with more elements is data. */
const most = 64;

/** `inferred` with these contents, where they are known and it is a vector or scalar. */
export function withElements(inferred: Inferred, elements: readonly (Dim | undefined)[] | undefined): Inferred {
  const { dims } = inferred;
  if (elements === undefined || dims === undefined || dims.length > 1 || elements.length > most) return inferred;
  const known = elements.filter((element) => element !== undefined);
  const whole = inferred.type === "int64" || inferred.type === "int32" || inferred.type === "bool";
  return whole && known.length === elements.length ? { ...inferred, elements: known } : inferred;
}

/** The contents of all operands combined element by element, with broadcasting; undefined where one is not known. */
export function combineElements(
  site: Site,
  combine: (...values: readonly Dim[]) => Dim | undefined,
): readonly (Dim | undefined)[] | undefined {
  const lists = site.inputs.map(elementsOf);
  if (lists.some((list) => list === undefined)) return undefined;
  const known = lists as readonly (readonly Dim[])[];
  const lengths = known.map((list) => list.length);
  const count = lengths.includes(0) ? 0 : Math.max(...lengths);
  if (lengths.some((length) => length !== count && length !== 1)) return undefined;
  return Array.from({ length: count }, (_, at) =>
    combine(...known.map((list) => list[list.length === 1 ? 0 : at] as Dim)),
  );
}

function elementsOf(operand: Operand | undefined): readonly Dim[] | undefined {
  return operand?.dims === undefined || operand.dims.length > 1 ? undefined : operand.elements;
}

/** Whether two contents are equal: 1, 0, or not known. A dimension is never negative. */
export function equalElements(a: Dim, b: Dim): Dim | undefined {
  if (a === b) return 1;
  if (!isSymbolic(a) && !isSymbolic(b)) return 0;
  const negative = (dim: Dim): boolean => !isSymbolic(dim) && dim < 0;
  return (negative(a) && isDimension(b)) || (negative(b) && isDimension(a)) ? 0 : undefined;
}

/** Sums of products of names, without anything taken away, are dimensions: 0 or more. */
export function isDimension(dim: Dim): boolean {
  return isSymbolic(dim) ? !dim.text.includes("-") : dim >= 0;
}
