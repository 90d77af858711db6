/** Corrects stated types that a change made wrong. */
import { allValues, type Model, type ValueType } from "#graph";

/** Replaces stated types that contradict the inferred ones, or all. Returns the names of the changed values. */
export function updateStatedTypes(model: Model, replacesAll = false): readonly string[] {
  const names: string[] = [];
  for (const value of allValues(model.graph)) {
    const { stated, inferred } = value;
    if (value.producer === undefined || stated === undefined || inferred === undefined) continue;
    if (!(replacesAll ? inferred.dims !== undefined : contradicts(stated, inferred))) continue;
    value.type = inferred;
    value.inferred = inferred;
    names.push(value.name);
  }
  return names;
}

/** Returns whether two types exclude each other. A named dimension can have any size, so it contradicts nothing. */
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
