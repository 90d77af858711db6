/**
 * The same function in fewer nodes: all clean-ups in turn, until none finds anything.
 *
 * Every pass is right by itself, so the order only decides how soon the end is reached. Roles are honoured by each: a model in the middle of
 * pruning or training stays trainable as it was.
 */
import * as v from "valibot";
import { deduplicate } from "./deduplicate.ts";
import { dropUnused } from "./drop-unused.ts";
import { foldConstants } from "./fold-constants.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fuseAffine } from "./fuse-batch-norm.ts";
import { fusePairs } from "./fuse-pairs.ts";
import { mergeInitializers } from "./merge-initializers.ts";
import { type Change, definePass, type Outcome } from "./pass.ts";
import { removeIdentities } from "./remove-identities.ts";
import { resolveConditions } from "./resolve-conditions.ts";
import { splitSlices } from "./split-slices.ts";
import { storeConstants } from "./store-constants.ts";

const cleanUps = [
  storeConstants,
  foldShapes,
  resolveConditions,
  foldConstants,
  removeIdentities,
  fuseAffine,
  fusePairs,
  splitSlices,
  deduplicate,
  mergeInitializers,
  dropUnused,
];

/** Rounds after which something undoes what something else does: a fault. */
const most = 50;

export const simplify = definePass({
  id: "simplify",
  summary: "The same function in fewer nodes",
  options: v.strictObject({}),
  async run(model, _, context) {
    const changes: Change[] = [];
    let misses: Outcome["misses"] = [];
    for (let round = 0; round < most; round++) {
      let found = 0;
      misses = [];
      for (const [done, pass] of cleanUps.entries()) {
        if (context.signal.aborted) return { changes, misses };
        const outcome = await pass(model, {}, context);
        context.progress(done + 1, cleanUps.length);
        changes.push(...outcome.changes);
        misses = [...misses, ...outcome.misses];
        found += outcome.changes.length;
      }
      if (found === 0) return { changes, misses };
    }
    throw new Error("simplify comes to no end");
  },
});
