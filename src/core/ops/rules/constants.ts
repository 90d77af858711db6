/** Conditions on constants in rules. */
import { toFloat64 } from "../../tensor/convert.ts";
import type { Operand } from "../define.ts";

/** Relative difference of constants that exporters round to float32. */
const rounding = 1e-6;

/** Returns whether a constant has one element, equal to `value` up to rounding in float32. */
export function isNear(operand: Operand | undefined, value: number): boolean {
  const element = elementOf(operand);
  return element !== undefined && Math.abs(element - value) <= rounding * Math.abs(value);
}

/** Returns the element of a constant that has only one, and whose axes do not extend the other operand of a binary operator. */
export function elementOf(operand: Operand | undefined): number | undefined {
  const small = operand?.small;
  if (small === undefined || small.type === "string" || small.data.length !== 1) return undefined;
  if ((operand?.dims?.length ?? 0) > 1) return undefined;
  return toFloat64(small)[0];
}
