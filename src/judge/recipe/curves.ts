import { PithError } from "../../core/errors.ts";
import { type Curve, curves, withoutLastDigits } from "../../core/math/curves.ts";

/** A value that changes from round to round. */
export interface OptionSchedule {
  readonly from: number;
  readonly to: number;
  /** A name ("linear"), a function from progress to the share of the way (both 0 to 1), or the path of a module with such a default export. */
  readonly curve?: string | ((t: number) => number) | undefined;
}

/** Rounds count from 1 to `rounds`. @throws PithError E_OPTION if the curve has no value. */
export function valueIn(round: number, rounds: number, { from, to, curve = "linear" }: OptionSchedule): number {
  const t = round / rounds;
  const along = typeof curve === "string" ? named(curve) : (t: number) => from + (to - from) * shareAt(t, curve);
  const value = along(t, from, to);
  if (Number.isFinite(value)) return withoutLastDigits(value);
  throw new PithError("E_OPTION", `"${curve}" does not lead from ${from} to ${to}.`, {
    hint: 'Each round multiplies by one factor, so both ends have to be above 0; "linear" and "cubic" lead from anywhere to anywhere.',
  });
}

/** A module counts as linear until it is opened. */
const named = (curve: string): Curve => new Map<string, Curve>(Object.entries(curves)).get(curve) ?? curves.linear;

function shareAt(t: number, curve: (t: number) => number): number {
  const share: unknown = curve(t);
  if (typeof share === "number" && share >= 0 && share <= 1) return share;
  throw new PithError("E_OPTION", `"curve" gives shares from 0 to 1, got ${String(share)} at ${t}.`);
}
