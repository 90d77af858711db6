/** Warns of pruned weights without masks: the first training step would overwrite their zeros. */
import { maskedAt } from "../../core/analysis/masks.ts";
import type { Selection } from "../../core/analysis/selection.ts";
import { joinList } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { percent } from "../../core/numbers.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { trainedValues } from "./groups.ts";

const leastShare = 0.1;

/** Warns if at least a tenth of a matrix without a mask is zero, unless there is at most one other value (identity, 0/1 selection). */
export async function unmaskedZeros(model: Model, selection: Selection): Promise<string | undefined> {
  const names: string[] = [];
  let [zeros, all] = [0, 0];
  for (const name of trainedValues(model, selection)) {
    const value = model.graph.value(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor === undefined || value.role?.kind === "tied") continue;
    if (tensor.dims.filter((size) => size > 1).length < 2 || maskedAt(value) !== undefined) continue;
    const numbers = toFloat64(await tensor.read());
    const others = numbers.filter((number) => number !== 0);
    const found = numbers.length - others.length;
    if (found < leastShare * numbers.length || others.every((number) => number === others[0])) continue;
    names.push(name);
    zeros += found;
    all += numbers.length;
  }
  if (names.length === 0) return undefined;
  return (
    `${percent(zeros / all)} of ${joinList(names.map((name) => `"${name}"`))} are exact zeros without a mask, which training overwrites: ` +
    "to keep them at zero, prune with --keep-masks (keepMasks: true in code and recipes), train the result, then run simplify --finalize"
  );
}
