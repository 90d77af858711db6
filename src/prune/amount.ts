/**
 * How much to prune: a fraction, or a count.
 *
 * Python tells 1.0 (all) from 1 (one entry); JavaScript has one kind of number. So a whole number counts entries and anything between 0 and 1
 * is a fraction; where that leaves a doubt, `{ fraction: 1 }` and `{ count: 1 }` say it.
 */
import * as v from "valibot";
import { PithError } from "../errors.ts";
import { described } from "../passes/options.ts";
import { roundHalfEven } from "../tensor/round.ts";

/** 0.3 is 30 % of what is left, 3 is three entries, `{ fraction: 1 }` is everything. */
export type Amount = number | { readonly fraction: number } | { readonly count: number };

const fraction = v.pipe(
  v.number("a fraction is a number from 0 to 1"),
  v.minValue(0, "a fraction lies between 0 and 1"),
  v.maxValue(1, "a fraction lies between 0 and 1"),
);
const count = v.pipe(
  v.number("a count is a whole number"),
  v.integer("a count is a whole number"),
  v.minValue(0, "a count is not negative"),
);

export const amountSchema = described(
  v.union(
    [
      v.pipe(
        v.number(),
        v.check((amount) => amount >= 0 && (amount <= 1 || Number.isInteger(amount))),
      ),
      v.strictObject({ fraction }),
      v.strictObject({ count }),
    ],
    "takes a fraction from 0 to 1 or a whole number of entries",
  ),
  "share (below 1) or number of what is left to prune: { fraction: 1 } is all, { count: 1 } is one",
);

/**
 * How many of `size` entries an amount is. Fractions round as Python does, halves to even: 0.5 of 5 is 2, 0.5 of 7 is 4.
 * @throws PithError E_OPTION if a count is larger than what there is.
 */
export function countOf(amount: Amount, size: number, what = "entries"): number {
  const form = formOf(amount);
  if ("fraction" in form) return roundHalfEven(form.fraction * size);
  if (form.count > size) {
    throw new PithError("E_OPTION", `amount: ${form.count} ${what} are to be pruned, and ${size} are left.`, {
      hint: "A number below 1 is a fraction; { fraction: 1 } is everything.",
    });
  }
  return form.count;
}

/** The share of `size` entries that an amount is. @throws PithError as `countOf`. */
export function fractionOf(amount: Amount, size: number): number {
  const form = formOf(amount);
  return "fraction" in form ? form.fraction : countOf(form, size) / Math.max(1, size);
}

export function isAll(amount: Amount): boolean {
  const form = formOf(amount);
  return "fraction" in form && form.fraction === 1;
}

const formOf = (amount: Amount): Exclude<Amount, number> =>
  typeof amount !== "number" ? amount : Number.isInteger(amount) ? { count: amount } : { fraction: amount };
