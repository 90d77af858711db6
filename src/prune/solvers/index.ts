/** Solvers that prune, by name. */
import type { Solver } from "../../calibrate/solver.ts";
import { methodSchema } from "../../passes/modules.ts";
import { option } from "../../passes/options.ts";
import { methodOf } from "../../passes/own-methods.ts";
import { sparsegpt } from "./sparsegpt.ts";

export const solvers = { sparsegpt } as const satisfies Readonly<Record<string, Solver>>;

export type SolverName = keyof typeof solvers;

const names = Object.keys(solvers) as SolverName[];

export const solverOption = option(
  methodSchema<Solver, SolverName>("a solver", "prune", names),
  "chooses, and corrects what is left, in place of a criterion; or a module",
  {
    value: "solver",
    meanings: { title: "Solvers (--solver)", rows: names.map((name) => [name, solvers[name].summary] as const) },
  },
);

/** @param given as `solverOption` takes it, opened. */
export const solverOf = (given: string | Solver | undefined): Solver | undefined =>
  given === undefined ? undefined : methodOf<Solver>(solvers, given);
