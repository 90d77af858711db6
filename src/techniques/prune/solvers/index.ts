import { methodTable } from "../../../core/pass/method-table.ts";
import type { Solver } from "../../calibrate/solver.ts";
import { sparsegpt } from "./sparsegpt.ts";

const table = { sparsegpt };

export const solvers = methodTable<Solver, keyof typeof table>(table, {
  kind: "a solver",
  does: "prune",
  title: "Solvers (--solver)",
});
