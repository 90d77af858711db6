/**
 * Pruning as the command does it: the pass of the library, and the masks folded in.
 *
 * A mask is for fine-tuning; it stands beside its weight as a tensor of the same size and type, so it doubles a file. What a command writes is
 * what ships: zeros in the weights, the file as large as before, and smaller when it is compressed.
 */
import * as v from "valibot";
import { definePass } from "../passes/index.ts";
import { isPruned, prune, remove } from "../prune/index.ts";

/** @throws PithError E_OPTION as `prune` does. */
export const pruneCommand = definePass({
  id: prune.id,
  summary: prune.summary,
  options: v.strictObject({
    ...prune.options.entries,
    keepMasks: v.pipe(
      v.optional(v.boolean(), false),
      v.description("keep the masks in the file for fine-tuning: pith train leaves what they cover at zero"),
    ),
  }),
  async run(model, { keepMasks, ...options }, context) {
    const outcome = await prune(model, options, context);
    if (!keepMasks && isPruned(model)) await remove(model);
    return outcome;
  },
});
