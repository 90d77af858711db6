/** The option `groupLasso` of a training: how strongly channels shrink, and which. */
import * as v from "valibot";
import { positiveOption } from "../passes/options.ts";

const isShare = "takes a share above 0 and below 1, like 50%";

const lassoObject = v.strictObject({
  /** λ. */
  strength: positiveOption,
  /** The share of the units of each group (channels, or several that are cut as one, such as a head) that shrinks, the weakest at each step (all). */
  amount: v.optional(v.pipe(v.number(isShare), v.gtValue(0, isShare), v.ltValue(1, isShare))),
  /** λ grows from 0 to its whole over the training (false). */
  grow: v.optional(v.boolean(), false),
});

/** λ, or more than that. */
export const groupLassoSchema = v.union([positiveOption, lassoObject]);

export type GroupLasso = v.InferOutput<typeof lassoObject>;

export const groupLassoOf = (given: v.InferOutput<typeof groupLassoSchema>): GroupLasso =>
  typeof given === "number" ? { strength: given, grow: false } : given;
