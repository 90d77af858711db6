/** Rounding methods by name. */
import * as v from "valibot";
import { described } from "../../passes/options.ts";
import { hqq } from "./hqq.ts";
import { kQuant } from "./k-quant.ts";
import { mse } from "./mse.ts";
import { nearest } from "./nearest.ts";
import type { Rounder } from "./rounder.ts";

const rounders = { nearest, mse, hqq, "k-quant": kQuant } satisfies Record<string, Rounder>;

export type RounderName = keyof typeof rounders;

const names = Object.keys(rounders) as RounderName[];

const isRounder = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "id" in value && "scales" in value;

export const rounderOption = described(
  v.optional(
    v.union([
      v.picklist(names),
      v.custom<Rounder>(isRounder, `must be ${names.map((name) => `"${name}"`).join(", ")} or a rounder`),
    ]),
    "nearest",
  ),
  "how weights are rounded",
  {
    meanings: {
      title: "Rounding (--rounder)",
      rows: names.map((name) => [name, rounders[name].summary] as const),
    },
  },
);

/** Whether what is given for `rounder` asks for samples; whether it is a rounder is checked elsewhere. */
export const needsSamples = (given: unknown): boolean =>
  v.is(rounderOption, given) && rounderOf(given ?? "nearest").evidence !== undefined;

export const rounderOf = (given: RounderName | Rounder): Rounder =>
  typeof given === "string" ? rounders[given] : given;
