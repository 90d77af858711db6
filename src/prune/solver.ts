/**
 * Methods that choose what goes and correct what stays, so that a layer answers nearly as before: optimal brain surgeon (Hassibi and Stork 1993), SparseGPT
 * (Frantar and Alistarh 2023). Layer after layer, in their order; what comes into a layer is of the model as it was, or as it has become.
 */
import * as v from "valibot";
import type { Layer } from "../analysis/layers.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import type { Matrix } from "../math/matrix.ts";
import { modulePath } from "../passes/modules.ts";
import { isMethod } from "../passes/own-methods.ts";
import type { Random } from "../tensor/random.ts";
import type { MatrixMask, Pattern } from "./pattern.ts";

export interface PruneGoal {
  readonly pattern: Pattern;
  /** Share of what is left that goes. */
  readonly amount: number;
}

/** What a solver is told beside the numbers. */
export interface SolverContext<E> {
  readonly layer: Layer;
  /** What the statistic has found: columns as those of the matrices, group after group. */
  readonly evidence: E;
  /** A stream of this layer's own. */
  readonly random: Random;
}

export interface PruneSolution {
  /** Outputs × inputs, as they were given; what goes counts as 0, whatever it is. */
  readonly weights: readonly Matrix[];
  /** What stays of what was left. */
  readonly kept: readonly MatrixMask[];
}

/**
 * A solver of pruning.
 * @example
 * import type { PruneSolver } from "pith/prune";
 * const scaled: PruneSolver = {
 *   id: "scaled",
 *   solve(weights, kept, { pattern, amount }) {
 *     const left = pattern.choose(weights, kept, amount);
 *     return { weights: weights.map((one) => ({ ...one, data: one.data.map((w) => w / (1 - amount)) })), kept: left };
 *   },
 * };
 * await prune(net, { amount: 0.5, solver: scaled });
 */
export interface PruneSolver<E = unknown> {
  readonly id: string;
  /** What it has to know of the inputs of a layer: `prune` is given samples then (`data`). */
  readonly evidence?: Statistic<E>;
  /** Of which model that is: the original (the default), or the one whose layers before this are pruned already. */
  readonly of?: "original" | "changed";
  /** @param weights of a layer, 0 where entries are gone. @param kept 1 for those that are left. */
  solve(
    weights: readonly Matrix[],
    kept: readonly MatrixMask[],
    goal: PruneGoal,
    known: SolverContext<E>,
  ): PruneSolution | Promise<PruneSolution>;
}

const isSolver = (value: unknown): value is PruneSolver => isMethod(value, "solve");

/** Whether a solver, as it is given, asks for samples; whether it is one is checked elsewhere. */
export const solvesBySamples = (given: unknown): boolean => isSolver(given) && given.evidence !== undefined;

const accepted = "is a solver { id, solve }, or the path of a module that exports one";

export const solverSchema = v.union([v.custom<PruneSolver>(isSolver), modulePath(accepted)], accepted);
