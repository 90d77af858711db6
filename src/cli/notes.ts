/** What limits a comparison, behind its figures. */

/** Behind a comparison in which the original said nothing. */
export const constantNote = "; all outputs are constant there: this is weak evidence";

/** Behind a comparison of two models without the operators that this runtime lacks. */
export function withoutNote(operators: readonly string[]): string {
  return operators.length === 0 ? "" : `; without ${operators.join(", ")}, which this runtime does not have`;
}
