/** Which stored tensors are trained, and what their steps depend on besides their gradients. */
import { buffersAmong } from "../analysis/buffers.ts";
import { infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { isNamed, type Selection, selectLayers } from "../analysis/selection.ts";
import { storedRoot } from "../analysis/stored-root.ts";
import { PithError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Trained } from "./optimizer.ts";

/**
 * Names of the stored tensors to train. `layers` narrows to the weights and biases of those layers; `except` takes the weights and biases
 * of layers out of what is trained, normalization stays.
 * @throws PithError E_TYPE_MISMATCH where there is nothing to train, E_NAME for layers that do not exist.
 */
export async function trainedValues(model: Model, { layers, except }: Selection): Promise<ReadonlySet<string>> {
  const inference = infer(model);
  const candidates = parametersOf(model, inference);
  const buffers = await buffersAmong([...candidates].filter(({ role }) => role?.kind !== "parameter"));
  const parameters = new Set([...candidates].filter((value) => !buffers.has(value)));
  const all = layersOf(model, inference);
  const of = (selection: Selection): ReadonlySet<Value> =>
    new Set(selectLayers(all, selection).flatMap(({ weight, bias }) => [weight, ...rootOf(bias)]));
  if (parameters.size === 0) throw nothingToTrain(all.map(({ weight }) => weight));
  const chosen = layers === undefined ? undefined : of({ layers });
  const left = except === undefined ? undefined : of({ layers: except });
  return new Set(
    [...parameters]
      .filter((value) => (chosen?.has(value) ?? true) && !(left?.has(value) ?? false))
      .map((value) => value.name),
  );
}

/** What a parameter's steps depend on besides its gradient. */
export type Group = Pick<Trained, "decays" | "rate">;

/**
 * The group of each stored tensor. Weights of layers and whatever else is a matrix decay; biases, and scales and shifts of normalizations,
 * which have one number a channel, do not (Goyal et al. 2017).
 * @param rates Factors of the learning rate by patterns of layers or tensors; of several that fit, the last.
 * @throws PithError E_NAME for a pattern that fits nothing.
 */
export function groupsOf(
  model: Model,
  rates: Readonly<Record<string, number>> = {},
): (name: string, dims: readonly number[]) => Group {
  const all = layersOf(model, infer(model));
  const layerOf = new Map(
    all.flatMap(({ name, weight, bias }) => [weight, ...rootOf(bias)].map((value) => [value.name, name] as const)),
  );
  const weights = new Set(all.map(({ weight }) => weight.name));
  const stored = [...model.graph.values()].filter(({ tensor }) => tensor !== undefined);
  const known = [...layerOf.values(), ...stored.map(({ name }) => name)];
  const strange = Object.keys(rates).find((pattern) => !known.some((name) => isNamed(pattern, name)));
  if (strange !== undefined)
    throw new PithError("E_NAME", `No layer or tensor is called "${strange}", for which there is a rate.`);
  return (name, dims) => {
    const layer = layerOf.get(name);
    const fits = ([pattern]: readonly [string, number]): boolean =>
      isNamed(pattern, name) || (layer !== undefined && isNamed(pattern, layer));
    const [, rate = 1] = Object.entries(rates).findLast(fits) ?? [];
    return { decays: weights.has(name) || dims.filter((size) => size > 1).length > 1, rate };
  };
}

function nothingToTrain(weights: readonly Value[]): PithError {
  const types = new Set(weights.map(({ tensor }) => tensor?.type ?? "computed"));
  const found = types.size === 0 ? "no layer with a weight was found" : `its weights are ${[...types].join(" and ")}`;
  return new PithError("E_TYPE_MISMATCH", `The model has nothing to train: ${found}; floats can be trained.`);
}

/** The stored tensor behind a bias, which may be masked. */
function rootOf(bias: Value | undefined): readonly Value[] {
  const root = bias === undefined ? undefined : storedRoot(bias);
  return root === undefined ? [] : [root];
}
