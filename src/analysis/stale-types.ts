/**
 * Types that a file states and a change of the graph has made untrue. Inference leaves statements alone, so that a model which was only
 * looked at is saved as it was; what changes types or dimensions lets them be stated anew.
 */
import { allValues, type ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/**
 * States the inferred type of every produced value whose stated type is at odds with it: another element type, another rank, another number.
 * @param everywhere true where dimensions were fixed or freed: whatever is stated gives way to what is inferred.
 * @returns the names of the values.
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

/** Whether no value can be of both types. Named dimensions may stand for any size. */
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
