/** Whole numbers of the data that no table of the model has a row for: what the runtime says of them names neither input nor number. */
import { infer } from "../analysis/infer.ts";
import { wantedInputs } from "../analysis/wanted-inputs.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { isFloat, toNumbers } from "../tensor/convert.ts";
import type { Batch } from "../tensor/types.ts";

/** The failure of a run, explained where an input holds a number that the model cannot take; else as it was. */
export function explained(error: unknown, model: Model, feeds: Batch): unknown {
  if (!(error instanceof PithError) || error.code !== "E_ENGINE") return error;
  const copy = model.clone();
  for (const [name, intervals] of wantedInputs(copy, infer(copy))) {
    const dense = feeds[name];
    if (dense === undefined || dense.type === "string" || isFloat(dense.type)) continue;
    const numbers = toNumbers(dense);
    for (const { low, high, strict } of intervals) {
      if (!strict || typeof low !== "number" || typeof high !== "number") continue;
      // Negative indices count from the end.
      const first = low - (high - low + 1);
      const found = numbers.find((number) => number > high || number < first);
      if (found !== undefined)
        return new PithError("E_DATA", `Input "${name}" holds ${found}: the model takes ${low} to ${high}.`, {
          hint: "Numbers like these are rows of a table in the model: is the data, or its tokenizer, that of another model?",
          cause: error,
        });
    }
  }
  return error;
}
