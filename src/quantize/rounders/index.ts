/** Rounding methods by name. */
import * as v from "valibot";
import type { Solver } from "../../calibrate/solver.ts";
import { methodSchema } from "../../passes/modules.ts";
import { described } from "../../passes/options.ts";
import { methodOf } from "../../passes/own-methods.ts";
import { hqq } from "./hqq.ts";
import { kQuant } from "./k-quant.ts";
import { mse } from "./mse.ts";
import { nearest } from "./nearest.ts";

const rounders = { nearest, mse, hqq, "k-quant": kQuant } satisfies Record<string, Solver>;

export type RounderName = keyof typeof rounders;

const names = Object.keys(rounders) as RounderName[];

export const rounderOption = described(
  v.optional(methodSchema<Solver, RounderName>("a rounder", "scales", names), "nearest"),
  "how weights are rounded, or a module",
  {
    value: "rounder",
    meanings: {
      title: "Rounding (--rounder)",
      rows: names.map((name) => [name, rounders[name].summary] as const),
    },
  },
);

/** @param given as `rounderOption` takes it, opened. */
export const rounderOf = (given: string | Solver): Solver => methodOf<Solver>(rounders, given);
