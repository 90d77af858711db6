/** What a step is fed with and writes into, again and again: the arrays of parameters, gradients and states. */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers, isHalf } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { denseOf, type Floats, floatMemory, zerosLike } from "./floats.ts";
import type { Group } from "./groups.ts";
import type { Trained } from "./optimizer.ts";
import { copyOfTied, type Tie } from "./ties.ts";

export type Floating = Dense<"float32" | "float64">;

export interface Stored {
  readonly name: string;
  readonly values: Floating;
}

/** The arrays of a parameter. */
export interface Arrays extends Stored, Group {
  readonly gradient: Floating;
  readonly carried: boolean;
}

export function trainedView(arrays: Arrays): Trained {
  return {
    name: arrays.name,
    values: arrays.values.data,
    gradient: arrays.gradient.data,
    carried: arrays.carried,
    decays: arrays.decays,
    rate: arrays.rate,
  };
}

/**
 * Copies of the stored tensors of these names, in memory that has room for what is kept beside them.
 * @throws PithError E_NAME if there is none, E_TYPE_MISMATCH if it holds no floats.
 */
export async function storedArrays(model: Model, names: Iterable<string>): Promise<Stored[]> {
  const tensors = [...names].map((name) => [name, tensorOf(model, name)] as const);
  const place = floatMemory(tensors.map(([, { bytes }]) => bytes));
  const arrays: Stored[] = [];
  for (const [name, tensor] of tensors) {
    const dense = await tensor.read();
    if (dense.type !== "float32" && dense.type !== "float64")
      throw new PithError("E_TYPE_MISMATCH", `"${name}" is ${dense.type}; floats can be trained.`);
    arrays.push({ name, values: denseOf(place(dense.data), dense.dims) });
  }
  return arrays;
}

export function emptyLike({ data, dims }: Floating): Floating {
  return denseOf(zerosLike(data), dims);
}

/** Writes arrays into a model as tensors of its own, and those that are tied to them. `weights` are other numbers in their place. */
export function storeArrays(
  model: Model,
  arrays: readonly Stored[],
  ties: readonly Tie[],
  weights: readonly Floats[] | undefined,
): void {
  for (const [at, { name, values }] of arrays.entries()) {
    const { type, dims } = values;
    const numbers = weights?.[at] ?? values.data;
    put(model, name, type, dims, numbers);
    for (const { name: copy, transposed } of ties.filter(({ of }) => of === name))
      put(model, copy, type, transposed ? dims.toReversed() : dims, copyOfTied(numbers, dims, transposed));
  }
}

/** In the type that the model stores it in: sixteen bits are rounded. */
function put(model: Model, name: string, own: Floating["type"], dims: readonly number[], numbers: Floats): void {
  const found = model.graph.value(name);
  if (found === undefined) return;
  const stored = found.tensor?.type ?? own;
  found.tensor = inMemory(fromNumbers(isHalf(stored) ? stored : own, dims, numbers));
}

function tensorOf(model: Model, name: string): Tensor {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new PithError("E_NAME", `There is no stored tensor "${name}" to train.`);
  return tensor;
}
