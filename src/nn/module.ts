/** Modules: pieces of a network that write themselves into a graph. */
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Random } from "../tensor/random.ts";

/** What a module writes with. */
export interface ModuleScope {
  readonly emit: Emit;
  /** Where the module stands: "fc1"; parameters are named after it. */
  readonly name: string;
  /** Initial weights come from here: a stream of its own for each module. */
  readonly random: Random;
}

/** Writes nodes that compute the module's output from `x`. */
export type Module = (scope: ModuleScope, x: Value) => Value;
