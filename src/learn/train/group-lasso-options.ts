import * as v from "valibot";
import { positiveOption } from "../../core/pass/options.ts";

const isShare = "takes a share above 0 and below 1, like 50%";

const lassoObject = v.strictObject({
  /** λ. */
  strength: positiveOption,
  /** Share of the units of each group that shrinks, the weakest at each step (all). A unit is a channel, or several cut together. */
  amount: v.optional(v.pipe(v.number(isShare), v.gtValue(0, isShare), v.ltValue(1, isShare))),
  /** Increase λ linearly from 0 over the training (false). */
  grow: v.optional(v.boolean(), false),
});

export const groupLassoSchema = v.union([positiveOption, lassoObject]);

export type GroupLasso = v.InferOutput<typeof lassoObject>;

export const groupLassoOf = (given: v.InferOutput<typeof groupLassoSchema>): GroupLasso =>
  typeof given === "number" ? { strength: given, grow: false } : given;
