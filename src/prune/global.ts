/** Pruning several parameters together: one ranking over all their entries. */
import * as v from "valibot";
import type { Model } from "../graph/model.ts";
import { type Outcome, parseOptions } from "../passes/pass.ts";
import { random } from "../tensor/random.ts";
import type { Dense } from "../tensor/types.ts";
import { type Amount, amountSchema, countOf } from "./amount.ts";
import { keptCount, type Mask, pruneRandom, pruneSmallest } from "./mask.ts";
import { readMask } from "./masked.ts";
import { denseSchema, masking, putMask, scoresOf } from "./rules.ts";
import { type ParameterSelection, selectParameters, targetEntries } from "./targets.ts";

export interface GlobalOptions extends ParameterSelection {
  /** Of all entries that are left in the selected parameters. */
  readonly amount: Amount;
  /** By magnitude, or at random. */
  readonly method?: "l1" | "random" | undefined;
  /** By layer name; layers without are ranked by their weights. */
  readonly importanceScores?: Readonly<Record<string, Dense>> | undefined;
  readonly seed?: number | undefined;
}

const schema = v.strictObject({
  ...targetEntries,
  amount: amountSchema,
  method: v.optional(
    v.picklist(["l1", "random"], 'is "l1" or "random": only single entries can be ranked across layers'),
    "l1",
  ),
  importanceScores: v.optional(v.record(v.string(), denseSchema, "takes tensors by layer name")),
  seed: v.optional(v.pipe(v.number(), v.integer("a seed is a whole number")), 0),
});

/**
 * Prunes the entries of least magnitude over all selected parameters together: the same amount in total, more where weights are small.
 * A layer may lose all of its weights.
 *
 * Semantics of PyTorch's `prune.global_unstructured`.
 * @throws PithError E_NAME for an unknown layer, E_OPTION for an amount that does not fit, E_SHAPE_MISMATCH for scores of other dimensions.
 * @example
 * await globalUnstructured(net, { layers: ["conv1", "conv2", "fc*"], amount: 0.8 });
 */
export async function globalUnstructured(model: Model, options: GlobalOptions): Promise<Outcome> {
  const { amount, method, importanceScores, seed } = parseOptions("globalUnstructured", schema, options);
  return masking(model, async () => {
    const { targets, misses } = selectParameters(model, options);
    const masks: Mask[] = [];
    const scores: Float64Array[] = [];
    for (const target of targets) {
      const mask = await readMask(target.parameter);
      masks.push(mask);
      if (method === "l1") scores.push(await scoresOf(target, mask, importanceScores));
    }
    const before = concatenate(masks, (size) => new Uint8Array(size));
    const left = keptCount(before);
    const count = countOf(amount, left);
    const after =
      method === "l1"
        ? pruneSmallest(
            before,
            concatenate(scores, (size) => new Float64Array(size)),
            count,
          )
        : pruneRandom(before, count, random(seed, "prune globally", left));
    let start = 0;
    const changes = targets.map((target, index) => {
      const mask = masks[index] ?? new Uint8Array();
      const part = after.slice(start, start + mask.length);
      start += mask.length;
      return putMask(model, target, keptCount(mask), part);
    });
    return { changes, misses };
  });
}

function concatenate<A extends Uint8Array | Float64Array>(parts: readonly A[], create: (size: number) => A): A {
  const whole = create(parts.reduce((size, part) => size + part.length, 0));
  let start = 0;
  for (const part of parts) {
    whole.set(part, start);
    start += part.length;
  }
  return whole;
}
