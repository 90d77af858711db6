/**
 * Zeros that training is about to fill in: of weights that were pruned, and whose masks were folded away.
 *
 * A gradient knows nothing of why a weight is zero. Where a mask stands in the graph the product stays zero; where none does, the first step
 * moves all of it, and the pruning is gone without a word.
 */
import { maskedAt } from "../analysis/masks.ts";
import type { Selection } from "../analysis/selection.ts";
import { integer, percent } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { groupsOf, trainedValues } from "./groups.ts";

/** What is trained: layers, without those whose rate is 0. */
interface Trained extends Selection {
  readonly rates?: Readonly<Record<string, number>> | undefined;
}

/** A matrix with a smaller share of exact zeros is not taken for a pruned one. */
const leastShare = 0.1;

/**
 * A sentence about the matrices that are trained without a mask though a tenth of their numbers or more are exactly zero; undefined where there
 * are none. One that is all zeros, or holds one other number alone (an identity, a 0/1 selection), was made so: it was not pruned.
 */
export async function unmaskedZeros(model: Model, options: Trained): Promise<string | undefined> {
  const names: string[] = [];
  let [zeros, all] = [0, 0];
  const groups = groupsOf(model, options.rates);
  for (const name of trainedValues(model, options)) {
    const value = model.graph.value(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor === undefined || value.role?.kind === "tied") continue;
    if (tensor.dims.filter((size) => size > 1).length < 2 || maskedAt(value) !== undefined) continue;
    if (groups(name, tensor.dims).rate === 0) continue;
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
    `${percent(zeros / all)} of ${listed(names)} are exact zeros without a mask, which training overwrites: ` +
    "to keep them at zero, prune with --keep-masks (keepMasks: true in code and recipes), train the result, then run simplify --finalize"
  );
}

/** `"fc1.weight", "fc2.weight" and 17 more` */
function listed(names: readonly string[]): string {
  const few = names.slice(0, 2).map((name) => `"${name}"`);
  if (names.length <= 2) return few.join(" and ");
  return `${few.join(", ")} and ${integer(names.length - 2)} more`;
}
