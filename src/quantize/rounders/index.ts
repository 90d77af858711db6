/** Rounding methods by name. */
import type { Solver } from "../../calibrate/solver.ts";
import { methodTable } from "../../passes/method-table.ts";
import { gptq } from "./gptq.ts";
import { hqq } from "./hqq.ts";
import { kQuant } from "./k-quant.ts";
import { mse } from "./mse.ts";
import { nearest } from "./nearest.ts";

const table = { nearest, mse, hqq, "k-quant": kQuant, gptq };

export const rounders = methodTable<Solver, keyof typeof table>(table, {
  kind: "a rounder",
  does: "scales",
  title: "Rounding (--rounder)",
});
