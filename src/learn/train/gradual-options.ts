import * as v from "valibot";
import { curves } from "../../core/math/curves.ts";
import { countOption } from "../../core/pass/options.ts";

const isShare = "takes a share above 0 and below 1, like 90%";
const amount = v.pipe(v.number(isShare), v.gtValue(0, isShare), v.ltValue(1, isShare));
const within = "takes a share of the training from 0 to 1";
const moment = v.pipe(v.number(within), v.minValue(0, within), v.maxValue(1, within));

const gradualObject = v.pipe(
  v.strictObject({
    /** Final share of masked weights. */
    amount: v.optional(amount),
    /** For "movement", instead of an amount: weights with a higher score stay ("soft" movement pruning). */
    threshold: v.optional(v.number()),
    /** With a threshold: what each step subtracts from every score (0). */
    penalty: v.optional(v.pipe(v.number(), v.minValue(0)), 0),
    /** Steps between updates of the masks. */
    every: v.optional(countOption, 100),
    /** Shares of the training after which pruning begins and ends. */
    begin: v.optional(moment, 0),
    end: v.optional(moment, 0.75),
    /** How the share of remaining weights decreases. */
    curve: v.optional(v.picklist(Object.keys(curves) as (keyof typeof curves)[]), "cubic"),
    /** "magnitude", or "movement": the sum of −w · g over the steps. */
    importance: v.optional(v.picklist(["magnitude", "movement"]), "magnitude"),
    /** Whether each layer loses the amount, or all layers together. */
    scope: v.optional(v.picklist(["uniform", "global"]), "uniform"),
    /** Layers that are trained but not pruned. */
    except: v.optional(v.union([v.string(), v.array(v.string())])),
  }),
  v.check(
    ({ amount, threshold }) => (amount === undefined) !== (threshold === undefined),
    "takes either an amount or a threshold",
  ),
  v.check(
    ({ threshold, importance }) => threshold === undefined || importance === "movement",
    () => 'a threshold is for importance "movement"',
  ),
  v.check(({ threshold, penalty }) => threshold !== undefined || penalty === 0, "a penalty is for a threshold"),
  v.check(({ begin, end }) => begin < end, "begin is before end"),
);

export const gradualSchema = v.union([amount, gradualObject]);

export type Gradual = v.InferOutput<typeof gradualObject>;

export const gradualOf = (given: number | Gradual): Gradual =>
  typeof given === "number" ? v.parse(gradualObject, { amount: given }) : given;
