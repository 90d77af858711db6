/** Rounding methods by name. */
import * as v from "valibot";
import { modulePath } from "../../passes/modules.ts";
import { described } from "../../passes/options.ts";
import { isMethod } from "../../passes/own-methods.ts";
import { hqq } from "./hqq.ts";
import { kQuant } from "./k-quant.ts";
import { mse } from "./mse.ts";
import { nearest } from "./nearest.ts";
import type { Rounder } from "./rounder.ts";

const rounders = { nearest, mse, hqq, "k-quant": kQuant } satisfies Record<string, Rounder>;

export type RounderName = keyof typeof rounders;

const names = Object.keys(rounders) as RounderName[];

const isRounder = (value: unknown): value is Rounder => isMethod(value, "scales");

const accepted = `is ${names.map((name) => `"${name}"`).join(", ")}, a rounder { id, scales }, or the path of a module that exports one`;

export const rounderOption = described(
  v.optional(
    v.union([v.picklist(names), v.custom<Rounder>(isRounder), modulePath(accepted, names)], accepted),
    "nearest",
  ),
  "how weights are rounded, or a module",
  {
    value: "rounder",
    meanings: {
      title: "Rounding (--rounder)",
      rows: names.map((name) => [name, rounders[name].summary] as const),
    },
  },
);

/** Whether what is given for `rounder` asks for samples; whether it is a rounder is checked elsewhere. */
export const needsSamples = (given: unknown): boolean => isRounder(given) && given.evidence !== undefined;

/** @param given as `rounderOption` takes it, opened. */
export function rounderOf(given: string | Rounder): Rounder {
  if (typeof given !== "string") return given;
  const found = new Map<string, Rounder>(Object.entries(rounders)).get(given);
  if (found === undefined) throw new Error(`There is no rounder "${given}".`);
  return found;
}
