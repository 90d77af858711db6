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
  options: v.pipe(
    v.strictObject({
      ...prune.options.entries,
      keepMasks: v.pipe(
        v.optional(v.boolean(), false),
        v.description("keep the masks in the file for fine-tuning: pith train leaves what they cover at zero"),
      ),
    }),
    // What the pass demands of several options together.
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const { keepMasks: _, ...given } = dataset.value;
      const { issues: [issue] = [] } = v.safeParse(prune.options, given);
      if (issue !== undefined)
        addIssue({ message: issue.message, ...(issue.path === undefined ? {} : { path: issue.path }) });
    }),
  ),
  async run(model, { keepMasks, ...options }, context) {
    const outcome = await prune(model, options, context);
    if (!keepMasks && isPruned(model)) await remove(model);
    return outcome;
  },
});
