/** Modules write parts of a network into a graph, nested as their parameters are named. */
import { PithError } from "../../core/errors.ts";
import type { Emit } from "../../core/graph/emit.ts";
import type { Value } from "../../core/graph/graph.ts";
import { type Dim, dimsText } from "../../core/tensor/dims.ts";
import type { Random } from "../../core/tensor/random.ts";

export interface ModuleScope {
  readonly emit: Emit;
  /** Full name of the module ("fc1", "encoder.layer.0.attention"), which prefixes parameter names. */
  readonly name: string;
  /** A separate random stream for the module's initial weights. */
  readonly random: Random;
  /** The inputs of the network, such as a mask. */
  readonly inputs: ReadonlyMap<string, Value>;
  /** Returns the scope of a nested module: "query" in "attention" is "attention.query". */
  inside(name: string): ModuleScope;
}

/** Writes nodes that compute the module's output from `x`. */
export type Module = (scope: ModuleScope, x: Value) => Value;

/** Consecutive modules by name, or numbered from 0. JavaScript sorts numeric names by value. */
export type Modules = Readonly<Record<string, Module>> | readonly Module[];

export function applyAll(modules: Modules, scope: ModuleScope, x: Value): Value {
  return Object.entries(modules).reduce((before, [name, module]) => applyInside(scope, name, module, before), x);
}

/** Applies a module in a nested scope; its result's node gets the scope's name by default. */
export function applyInside(scope: ModuleScope, name: string, module: Module, x: Value): Value {
  const inner = scope.inside(name);
  const result = module(inner, x);
  if (result.producer !== undefined && result.producer.name === "") result.producer.name = inner.name;
  return result;
}

/** An expected dimension: a size, or a name for any size. */
export type Expected = number | string;

/** Checks rank and known sizes. @throws PithError E_SHAPE_MISMATCH with the module, the expected and the actual shape. */
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

/** @throws PithError E_SHAPE_MISMATCH unless the last dimension is `width` and the rank at least `rank`. */
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

/** @throws PithError E_OPTION unless it is an integer of at least `least`. */
export function requireCount(what: string, value: number, least = 1): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new PithError("E_OPTION", `${what} must be a whole number of at least ${least}, got ${value}.`);
}
