/**
 * Pruning as the command does it: the pass of the library, and the masks folded in.
 *
 * A mask is for fine-tuning; it stands beside its weight as a tensor of the same size and type, so it doubles a file. What a command writes is
 * what ships: zeros in the weights, the file as large as before, and smaller when it is compressed.
 */
import * as v from "valibot";
import { PithError } from "../errors.ts";
import { definePass } from "../passes/index.ts";
import { prune, remove } from "../prune/index.ts";

const { amount, structured: _, ...rest } = prune.options.entries;

/** @throws PithError E_OPTION as `prune` does, and where the amount is given twice or not at all. */
export const pruneCommand = definePass({
  id: prune.id,
  summary: prune.summary,
  options: v.strictObject({
    amount: v.optional(amount),
    structured: v.pipe(
      v.optional(v.union([v.boolean(), amount], "takes a number from 0 to 1, or nothing"), false),
      v.description("cut whole channels out instead of single weights; --structured 0.3: this share of them"),
      v.metadata({ value: "amount" }),
    ),
    ...rest,
    keepMasks: v.pipe(
      v.optional(v.boolean(), false),
      v.description("keep the masks in the file for fine-tuning: pith train leaves what they cover at zero"),
    ),
  }),
  async run(model, { amount: stated, structured, keepMasks, ...options }, context) {
    const inline = typeof structured === "number" ? structured : undefined;
    const share = inline ?? stated;
    if (share === undefined || (inline !== undefined && stated !== undefined)) {
      const given = share === undefined ? "is needed" : "is given twice: by itself and with structured";
      throw new PithError("E_OPTION", `prune: "amount" ${given}.`, { hint: "For example --amount 50%." });
    }
    const cuts = structured !== false;
    const outcome = await prune(model, { ...options, amount: share, structured: cuts }, context);
    if (!cuts && !keepMasks && outcome.changes.length > 0) await remove(model);
    return outcome;
  },
});
