/** How a value goes from its first to its last over the rounds of a repeat. */
import { PithError } from "../errors.ts";
import { type Curve, curves, withoutLastDigits } from "../math/curves.ts";

/** A value that changes from round to round. */
export interface Course {
  readonly from: number;
  readonly to: number;
  /**
   * A name ("linear"), or the share of the way that is done where a share of the rounds is, both from 0 to 1: a function, or the path of a module whose
   * default export is one, which is opened when the recipe is run.
   */
  readonly curve?: string | ((t: number) => number) | undefined;
}

/** The value in a round, of which the last has the number `rounds`. @throws PithError E_OPTION where the curve has none. */
export function valueIn(round: number, rounds: number, { from, to, curve = "linear" }: Course): number {
  const t = round / rounds;
  const along = typeof curve === "string" ? named(curve) : (t: number) => from + (to - from) * shareAt(t, curve);
  const value = along(t, from, to);
  if (Number.isFinite(value)) return withoutLastDigits(value);
  throw new PithError("E_OPTION", `"${curve}" does not lead from ${from} to ${to}.`, {
    hint: 'Each round multiplies by one factor, so both ends have to be above 0; "linear" and "cubic" lead from anywhere to anywhere.',
  });
}

/** What a module says is not known before it is opened: until then it counts as linear. */
const named = (curve: string): Curve => new Map<string, Curve>(Object.entries(curves)).get(curve) ?? curves.linear;

function shareAt(t: number, curve: (t: number) => number): number {
  const share: unknown = curve(t);
  if (typeof share === "number" && share >= 0 && share <= 1) return share;
  throw new PithError("E_OPTION", `"curve" gives shares from 0 to 1, got ${String(share)} at ${t}.`);
}
