export const constantNote = "; all outputs are constant there: this is weak evidence";

export function withoutNote(operators: readonly string[]): string {
  return operators.length === 0 ? "" : `; without ${operators.join(", ")}, which this runtime does not have`;
}
