/**
 * Removes all roles, and folds masks and other computations on stored tensors, so that the model stores ordinary weights again.
 *   fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)    →    fc1.weight: float32[128, 784]
 */
import { allValues, describeRole } from "#ir";
import { type Change, definePass, noOptions } from "#pass";
import { cleanUpChange } from "./clean-up.ts";
import { foldConstants } from "./fold-constants.ts";

/**
 * Removes every role and folds masks. Later training starts from the stored weights, and pruned weights can grow again.
 * @example
 * await finalize(model);
 */
export const finalize = definePass({
  id: "finalize",
  summary: "Fold masks into weights, and remove training roles (trainable, frozen, state)",
  options: noOptions,
  async run(model, _, context) {
    const changes: Change[] = [];
    for (const value of allValues(model.graph)) {
      if (value.role === undefined) continue;
      changes.push(cleanUpChange(value.name, `no longer marked as ${describeRole(value.role)}`));
      value.role = undefined;
    }
    if (changes.length === 0) return { changes, misses: [] };
    const folding = await foldConstants(model, {}, context);
    return { changes: [...changes, ...folding.changes], misses: folding.misses };
  },
});
