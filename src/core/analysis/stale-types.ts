/**
 * Corrects types stated in the file that became wrong when the graph was changed. Inference does not correct them, so that an
 * unchanged model is saved with its original types.
 */
import { allValues, type Model, type ValueType } from "#graph";

/**
 * Replaces stated types that contradict the inferred type in element type, rank or size. Returns the names of the changed values.
 * @param replacesAll Replaces all stated types, as needed after input dimensions were fixed or freed.
 */
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
