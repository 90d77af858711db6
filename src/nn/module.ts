/** Modules: pieces of a network that write themselves into a graph, nested as their parameters are named. */
import { PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, dimsText } from "../tensor/dims.ts";
import type { Random } from "../tensor/random.ts";

export interface ModuleScope {
  readonly emit: Emit;
  /** Where the module stands: "fc1", "encoder.layer.0.attention"; parameters are named after it. */
  readonly name: string;
  /** Initial weights come from here: a stream of its own for each module. */
  readonly random: Random;
  /** The inputs of the network: a mask is taken by its name. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** The scope of a module inside this one: "query" in "attention" is "attention.query". */
  inside(name: string): ModuleScope;
}

/** Writes nodes that compute the module's output from `x`. */
export type Module = (scope: ModuleScope, x: Value) => Value;

/** Modules in a row: by name, or numbered from 0. Names that are numbers come in the order of their values, as JavaScript has it. */
export type Modules = Readonly<Record<string, Module>> | readonly Module[];

/** Applies modules one after the other, each in a scope of its name. */
export function applyAll(modules: Modules, scope: ModuleScope, x: Value): Value {
  return Object.entries(modules).reduce((before, [name, module]) => applyInside(scope, name, module, before), x);
}

/** Applies a module in a scope inside this one. The node with its result is called after it, if the module has not named it. */
export function applyInside(scope: ModuleScope, name: string, module: Module, x: Value): Value {
  const inner = scope.inside(name);
  const result = module(inner, x);
  if (result.producer !== undefined && result.producer.name === "") result.producer.name = inner.name;
  return result;
}

/** A place in an expected shape: a size, or a name for what is left open. */
export type Expected = number | string;

/**
 * Dimensions that fit: of this rank, and of these sizes where both say one.
 * @throws PithError E_SHAPE_MISMATCH with the place, what was expected and what came.
 */
export function requireDims(
  what: string,
  { name }: Pick<ModuleScope, "name">,
  x: Value,
  expected: readonly Expected[],
  hint = "Check the layer before it.",
): readonly Dim[] {
  const dims = x.type?.dims;
  const fits = (dim: Dim, at: number): boolean => {
    const size = expected[at];
    return typeof size !== "number" || typeof dim !== "number" || dim === size;
  };
  if (dims === undefined || dims.length !== expected.length || !dims.every(fits))
    throw mismatch(what, name, `[${expected.join(", ")}]`, dimsText(dims), hint);
  return dims;
}

/** @throws PithError E_SHAPE_MISMATCH unless the last dimension is `width`; at least `rank` of them must be there. */
export function requireWidth(
  what: string,
  { name }: Pick<ModuleScope, "name">,
  x: Value,
  width: number,
  rank = 1,
): readonly Dim[] {
  const dims = x.type?.dims;
  if (dims === undefined || dims.length < rank || dims.at(-1) !== width)
    throw mismatch(what, name, `[…, ${width}]`, dimsText(dims), "Check the layer before it.");
  return dims;
}

export function mismatch(what: string, name: string, expected: string, got: string, hint: string): PithError {
  return new PithError("E_SHAPE_MISMATCH", `${what} "${name}": expected ${expected}, got ${got}.`, { hint });
}

/** @throws PithError E_OPTION unless it is a whole number of at least `least`. */
export function requireCount(what: string, value: number, least = 1): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new PithError("E_OPTION", `${what} must be a whole number of at least ${least}, got ${value}.`);
}
