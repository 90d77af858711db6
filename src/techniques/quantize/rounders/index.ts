/** The table of rounding methods. Its keys are the values of the option `rounder` in flags, help and recipes. */
import type { Solver } from "../../calibrate/solver.ts";
import { methodTable } from "../../shared/methods.ts";
import { gptaq } from "./gptaq.ts";
import { gptq } from "./gptq.ts";
import { mse } from "./mse.ts";
import { nearest } from "./nearest.ts";
import { rdoq } from "./rdoq.ts";

const table = { nearest, mse, gptq, gptaq, rdoq };

export const rounders = methodTable<Solver, keyof typeof table>(table, {
  kind: "a rounder",
  does: "scales",
  title: "Rounding (--rounder)",
});
