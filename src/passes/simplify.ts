/**
 * Compute the same function with fewer nodes: all clean-ups in turn, until none finds anything.
 *
 * Every pass is right by itself, so the order only decides how soon the end is reached. Roles are honoured by each: a model in the middle of
 * pruning or training stays trainable as it was, unless it is said that this is over.
 */
import * as v from "valibot";
import { stopIfAsked } from "../errors.ts";
import { deduplicate } from "./deduplicate.ts";
import { dropNotes } from "./drop-notes.ts";
import { dropUnused } from "./drop-unused.ts";
import { finalize } from "./finalize.ts";
import { fixDimensions, fixOption } from "./fix-dimensions.ts";
import { foldConstants } from "./fold-constants.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fuseAffine } from "./fuse-batch-norm.ts";
import { fusePairs } from "./fuse-pairs.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { keepOption, keepOutputs } from "./keep-outputs.ts";
import { mergeInitializers } from "./merge-initializers.ts";
import { described } from "./options.ts";
import { definePass, type Outcome } from "./pass.ts";
import { removeIdentities } from "./remove-identities.ts";
import { resolveConditions } from "./resolve-conditions.ts";
import { setInputs, setOption } from "./set-inputs.ts";
import { storeConstants } from "./store-constants.ts";

const cleanUps = [
  inlineFunctions,
  storeConstants,
  foldShapes,
  resolveConditions,
  foldConstants,
  removeIdentities,
  fuseAffine,
  fusePairs,
  deduplicate,
  mergeInitializers,
  dropUnused,
  dropNotes,
];

/** Rounds after which something undoes what something else does: a fault. */
const most = 50;

/**
 * Simplifies a model in place: folds what is constant, fuses, removes what does nothing and channels that are constant, until nothing is left to do; of what is written
 * beside the graph, the exporter's own notes go (`drop-notes.ts`). First sets inputs, fixes dimensions, keeps outputs and removes roles
 * (`finalize.ts`), where asked: without them batch normalization is folded that was trained, too, and masks are.
 * @throws PithError E_NAME for inputs, dimensions or outputs that are not there, E_STOPPED on the context's signal.
 * @example
 * const { changes } = await simplify(model, { set: { sr: 16000 }, fix: { batch: 1 } });
 */
export const simplify = definePass({
  id: "simplify",
  summary: "Compute the same function with fewer nodes",
  options: v.strictObject({
    set: setOption,
    fix: fixOption,
    keepOutputs: keepOption,
    finalize: described(
      v.optional(v.boolean(), false),
      "after training and pruning: fold masks, remove training roles",
    ),
  }),
  async run(model, { set, fix, keepOutputs: outputs, finalize: over }, context) {
    const asked: Outcome[] = [
      // Sizes first: they say how many numbers an input takes.
      await fixDimensions(model, { fix }, context),
      await setInputs(model, { set }, context),
      await keepOutputs(model, { outputs }, context),
      ...(over ? [await finalize(model, {}, context)] : []),
    ];
    const changes = asked.flatMap((outcome) => outcome.changes);
    let misses: Outcome["misses"] = [];
    for (let round = 0; round < most; round++) {
      let found = 0;
      misses = [];
      for (const [done, pass] of cleanUps.entries()) {
        stopIfAsked(context.signal);
        const outcome = await pass(model, {}, context);
        context.progress(done + 1, cleanUps.length);
        changes.push(...outcome.changes);
        misses = [...misses, ...outcome.misses];
        found += outcome.changes.length;
      }
      if (found > 0) continue;
      // It reads every weight: once, where nothing else is left to do, and again only if that has made a difference.
      const { dropDeadChannels } = await import("./drop-dead-channels.ts");
      const dead = await dropDeadChannels(model, {}, context);
      changes.push(...dead.changes);
      if (dead.changes.length === 0) return { changes, misses: [...misses, ...dead.misses] };
    }
    throw new Error("simplify does not converge");
  },
});
