/** Modules write parts of a network into a graph. The names of nested modules prefix the names of their parameters. */
import type { Dim, Emit, PithError, Random, Role, Value } from "#ir";
import { dimsText, elementCount, float32, optionError, parameter, shapeError } from "#ir";

export interface ModuleScope {
  readonly emit: Emit;
  /** Full name of the module ("encoder.layer.0.attention"), which prefixes parameter names. */
  readonly name: string;
  /** A separate random stream for the module's initial weights. */
  readonly random: Random;
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

/** The result's node gets the scope's name by default. */
export function applyInside(scope: ModuleScope, name: string, module: Module, x: Value): Value {
  const inner = scope.inside(name);
  const result = module(inner, x);
  if (result.producer !== undefined && result.producer.name === "") result.producer.name = inner.name;
  return result;
}

/** Checks rank and known sizes; a text in `expected` stands for any size. @throws PithError E_SHAPE_MISMATCH. */
export function requireDims(
  moduleName: string,
  { name }: Pick<ModuleScope, "name">,
  x: Value,
  expected: readonly (number | string)[],
): readonly Dim[] {
  const dims = x.type?.dims;
  const fits = (dim: Dim, axis: number): boolean => {
    const size = expected[axis];
    return typeof size !== "number" || typeof dim !== "number" || dim === size;
  };
  if (dims === undefined || dims.length !== expected.length || !dims.every(fits))
    throw mismatch(moduleName, name, `[${expected.join(", ")}]`, dimsText(dims), "Check the layer before it.");
  return dims;
}

/** @throws PithError E_SHAPE_MISMATCH unless the last dimension is `width` and the rank at least `rank`. */
export function requireWidth(
  moduleName: string,
  { name }: Pick<ModuleScope, "name">,
  x: Value,
  width: number,
  rank = 1,
): readonly Dim[] {
  const dims = x.type?.dims;
  if (dims === undefined || dims.length < rank || dims.at(-1) !== width)
    throw mismatch(moduleName, name, `[…, ${width}]`, dimsText(dims), "Check the layer before it.");
  return dims;
}

export function mismatch(moduleName: string, name: string, expected: string, got: string, hint: string): PithError {
  return shapeError(`${moduleName} "${name}": expected ${expected}, got ${got}.`, { hint });
}

/** @throws PithError E_OPTION unless `value` is an integer of at least `min`. */
export function requireCount(label: string, value: number, min = 1): number {
  if (Number.isInteger(value) && value >= min) return value;
  throw optionError(`${label} must be a whole number of at least ${min}, got ${value}.`);
}

/** @throws PithError E_OPTION for another count than `axes`, or a number below `min`. */
export function perAxis(label: string, option: number | readonly number[], axes: number, min: number): number[] {
  const sizes = typeof option === "number" ? new Array<number>(axes).fill(option) : [...option];
  if (sizes.length !== axes) throw optionError(`${label} must be one number or ${axes}, got ${sizes.length}.`);
  return sizes.map((size) => requireCount(label, size, min));
}

/** Draws values uniformly in ±1/√(inputs per output), as in PyTorch: He et al. 2015 with a = √5. */
export function layerParameters(
  scope: ModuleScope,
  dims: readonly number[],
  bias: boolean,
): { readonly weight: Value; readonly bias: Value | undefined } {
  const [outputs = 1, ...rest] = dims;
  const bound = 1 / Math.sqrt(elementCount(rest));
  const draw = (): number => scope.random.uniform(-bound, bound);
  return {
    weight: storeTensor(scope, "weight", dims, draw),
    bias: bias ? storeTensor(scope, "bias", [outputs], draw) : undefined,
  };
}

export function affineParameters(scope: ModuleScope, size: number): { readonly weight: Value; readonly bias: Value } {
  return { weight: storeTensor(scope, "weight", [size], () => 1), bias: storeTensor(scope, "bias", [size], () => 0) };
}

export function storeTensor(
  { emit, name }: ModuleScope,
  ownName: string,
  dims: readonly number[],
  entry: () => number,
  role: Role = parameter,
): Value {
  const data = Float32Array.from({ length: elementCount(dims) }, entry);
  return emit.constant(float32(dims, data), `${name}.${ownName}`, role);
}
