/**
 * Parses the amount to prune. An integer is a number of entries, other numbers are fractions. `{ fraction: 1 }` is everything, because
 * JavaScript does not distinguish 1.0 (all entries) from 1 (one entry).
 */
import * as v from "valibot";
import { PithError, roundHalfEven } from "#ir";
import { described } from "#pass";

/** 0.3 is 30 % of the remaining entries, 3 is three entries, `{ fraction: 1 }` is all of them. */
export type Amount = number | { readonly fraction: number } | { readonly count: number };

const fraction = v.pipe(
  v.number("a fraction is a number from 0 to 1"),
  v.minValue(0, "a fraction is a number from 0 to 1"),
  v.maxValue(1, "a fraction is a number from 0 to 1"),
);
const count = v.pipe(
  v.number("a count is an integer"),
  v.integer("a count is an integer"),
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
    "takes a fraction from 0 to 1 or an integer number of entries",
  ),
  "share (below 1) or number of the remaining entries to prune: { fraction: 1 } is all, { count: 1 } is one",
);

/**
 * Returns the number of entries out of `size`. Fractions round half to even, as in Python: 0.5 of 5 is 2, 0.5 of 7 is 4.
 * @throws PithError E_OPTION if a count is larger than `size`.
 */
export function countOf(amount: Amount, size: number, unit = "entries"): number {
  const form = formOf(amount);
  if ("fraction" in form) return roundHalfEven(form.fraction * size);
  if (form.count > size) {
    throw new PithError(
      "E_OPTION",
      `amount: expected at most ${size} ${unit}, the number that is left, got ${form.count}.`,
      { hint: "A number below 1 is a fraction; { fraction: 1 } is everything." },
    );
  }
  return form.count;
}

/** Returns the share of `size` entries. @throws PithError as `countOf`. */
export function fractionOf(amount: Amount, size: number): number {
  const form = formOf(amount);
  return "fraction" in form ? form.fraction : countOf(form, size) / Math.max(1, size);
}

/** Returns the largest count that is at most a share of `size`. 0.7 of 10 is 7, although 0.7 · 10 can be less in floats. */
export const maxCountOf = (share: number, size: number): number => Math.floor(share * size + 1e-9);

export function isAll(amount: Amount): boolean {
  const form = formOf(amount);
  return "fraction" in form && form.fraction === 1;
}

const formOf = (amount: Amount): Exclude<Amount, number> =>
  typeof amount !== "number" ? amount : Number.isInteger(amount) ? { count: amount } : { fraction: amount };
