/**
 * What the stored tensors of a model are in a training, decided once, where it starts, and written as roles: into the model itself, so that
 * checkpoints, results and whatever is trained from them carry it. What has a role is believed; the rest is told by the graph and by its numbers.
 *
 * - `buffer`: masks and sinusoids (`fixed-tables.ts`), which are not trained.
 * - `tied`: a matrix that is stored twice, perhaps transposed (`ties.ts`), trains as one.
 * - `state`, where asked: the running statistics of a normalization. A file is for inference, so an exported network trains with its statistics as
 *   they are; with that role each step normalizes by the statistics of its batch, and lets them flow into the running ones, as PyTorch's
 *   `train()` mode does (`step-graph.ts`).
 *
 * What a file stores as one only because it is equal is parted first: statistics from what is trained,
 * scales and biases of several layers that have learnt nothing yet (`shared-constants.ts`).
 */

import { downstream } from "../analysis/downstream.ts";
import { buffersAmong } from "../analysis/fixed-tables.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { Miss } from "../errors.ts";
import { describe, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { buffer, type Role, roleWords } from "../graph/role.ts";
import { isFloat } from "../tensor/convert.ts";
import { type ConstantCopy, giveOwnStatistics, partConstants } from "./shared-constants.ts";
import { tiesAmong } from "./ties.ts";

export interface Declaration {
  /** What got a role. */
  readonly declared: ReadonlyMap<Value, Role>;
  /** Running statistics that were stored as one with what is trained, and are now stored apart. */
  readonly ownStatistics: readonly ConstantCopy[];
  /** What was stored as one and now learns apart. */
  readonly parted: readonly ConstantCopy[];
  /** Why what was asked for is not so. */
  readonly misses: readonly Miss[];
}

/**
 * Writes roles into a model, in place: buffers and ties that its numbers tell, and with `batchStatistics` its running statistics as states. Scales of
 * ones and biases of zeros that the file stores once for several layers become tensors of their own. `train`
 * does so where it starts; a step of your own is created from what it leaves.
 * @example
 * const { misses } = await declareRoles(model, { batchStatistics: true });
 * for (const miss of misses) console.warn(miss.at, miss.reason);
 */
export async function declareRoles(
  model: Model,
  { batchStatistics = false }: { readonly batchStatistics?: boolean | undefined } = {},
): Promise<Declaration> {
  const given = infer(model);
  const ownStatistics = giveOwnStatistics(model, given, parametersOf(model, given));
  const parted = await partConstants(model, infer(model));
  const inference = infer(model);
  const trained = parametersOf(model, inference);
  const declared = new Map<Value, Role>();
  // In the order of the file: the first of two equal matrices is the one that is trained.
  const parameters = [...model.graph.values()].filter((value) => trained.has(value));
  for (const value of await buffersAmong(parameters.filter(({ role }) => role === undefined)))
    declared.set(value, buffer);
  for (const { copy, of, transposed } of await tiesAmong(parameters.filter((value) => !declared.has(value))))
    declared.set(copy, { kind: "tied", name: of.name, transposed });
  const misses = batchStatistics ? declareStates(model, inference, declared) : [];
  for (const [value, role] of declared) value.role = role;
  return { declared, ownStatistics, parted, misses };
}

/** Whether a network has running statistics that training could update. */
export function hasRunningStatistics(model: Model, inference: Inference): boolean {
  return [...model.graph.nodes()].some((node) => {
    const bound = inference.at(node);
    const held =
      bound instanceof Miss ? [] : (bound.training()?.states ?? []).flatMap((input) => node.inputs[input] ?? []);
    return held.length > 0 && held.every((value) => whyNotCarried(value) === undefined);
  });
}

/** Running statistics: what nodes that compute something else in training carry on, in floats. A switch of theirs (dropout) is none. */
function declareStates(model: Model, inference: Inference, declared: Map<Value, Role>): readonly Miss[] {
  const misses: Miss[] = [];
  let found = 0;
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    const form = bound instanceof Miss ? undefined : bound.training();
    const held = (form?.states ?? []).flatMap((input) => node.inputs[input] ?? []);
    if (held.length === 0 || !held.every(({ type }) => type === undefined || isFloat(type.type))) continue;
    found++;
    const reason = held.map(whyNotCarried).find((reason) => reason !== undefined);
    if (reason !== undefined) misses.push(new Miss(`keeps its running statistics frozen: ${reason}`, describe(node)));
    else for (const value of held) declared.set(value, { kind: "state" });
    const readers = new Set(held.flatMap(({ uses }) => [...uses].map((use) => use.node)));
    if (reason === undefined && readers.size > 1) {
      const text = `shares its running statistics with ${readers.size - 1} other nodes; exporters store equal tensors only once`;
      misses.push(new Miss(text, describe(node)));
    }
  }
  if (found === 0)
    misses.push(
      new Miss("it has no running statistics: normalizations may have been folded into the layers before them"),
    );
  return misses;
}

function whyNotCarried({ name, tensor, role }: Value): string | undefined {
  if (tensor === undefined) return `"${name}" is computed`;
  if (tensor.type !== "float32" && tensor.type !== "float64") return `"${name}" is ${tensor.type}`;
  return role === undefined || role.kind === "state" ? undefined : `"${name}" is ${roleWords(role)}`;
}

/** Layers whose weight is stored as codes; not those of which `trained` moves what the codes stand for, as a palette. */
export function quantizedWeights(model: Model, inference: Inference, trained: readonly Value[] = []): readonly Miss[] {
  const moved = downstream(model.graph, trained, inference);
  return layers(model, inference).flatMap(({ name, weight }) => {
    const type = weight.tensor?.type;
    return type === undefined || isFloat(type) || meetsAny(weight, moved)
      ? []
      : [new Miss(`its weight is stored as ${type} and is not changed`, name)];
  });
}

/** Whether codes, as long as they are integers, meet one of these values. */
function meetsAny(codes: Value, values: ReadonlySet<Value>): boolean {
  const integers = new Set([codes]);
  for (const value of integers) {
    for (const { node } of value.uses) {
      if (node.inputs.some((input) => input !== undefined && values.has(input))) return true;
      for (const output of node.outputs)
        if (output?.type !== undefined && !isFloat(output.type.type)) integers.add(output);
    }
  }
  return false;
}
