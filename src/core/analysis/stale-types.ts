/** Finds stated types that a change made wrong. Inference keeps stated types, so that an unchanged model is saved as it was. */
import { allValues, type ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/**
 * States the inferred type of every produced value whose stated type contradicts it: element type, rank or size. Returns the names.
 * @param everywhere True after dimensions were fixed or freed: replaces every stated type.
 */
export function restate(model: Model, everywhere = false): readonly string[] {
  const names: string[] = [];
  for (const value of allValues(model.graph)) {
    const { stated, inferred } = value;
    if (value.producer === undefined || stated === undefined || inferred === undefined) continue;
    if (!(everywhere ? inferred.dims !== undefined : contradicts(stated, inferred))) continue;
    value.type = inferred;
    value.inferred = inferred;
    names.push(value.name);
  }
  return names;
}

/** Returns whether no value can have both types. A named dimension can have any size. */
export function contradicts(a: ValueType, b: ValueType): boolean {
  if (a.type !== b.type) return true;
  if (a.dims === undefined || b.dims === undefined) return false;
  const { dims } = b;
  return (
    a.dims.length !== dims.length ||
    a.dims.some((dim, axis) => {
      const other = dims[axis];
      return typeof dim === "number" && typeof other === "number" && dim !== other;
    })
  );
}
