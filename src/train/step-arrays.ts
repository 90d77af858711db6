/** What a step is fed with and writes into, again and again: the arrays of parameters, gradients and states. */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers, isHalf } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { denseOf, type Floats, zerosLike } from "./floats.ts";
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

/** The arrays of a parameter, with the numbers that the model stores. */
export async function arraysOf(model: Model, name: string, group: Group, carried: boolean): Promise<Arrays> {
  const values = await storedArray(model, name);
  return { name, ...group, values, gradient: emptyLike(values), carried };
}

/** A copy of a stored tensor. @throws PithError E_NAME if there is none, E_TYPE_MISMATCH if it holds no floats. */
export async function storedArray(model: Model, name: string): Promise<Floating> {
  return copyOf(await tensorOf(model, name).read(), name);
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

function copyOf(dense: Dense, name: string): Floating {
  if (dense.type === "float32" || dense.type === "float64") return denseOf(dense.data.slice(), dense.dims);
  throw new PithError("E_TYPE_MISMATCH", `"${name}" is ${dense.type}; floats can be trained.`);
}
