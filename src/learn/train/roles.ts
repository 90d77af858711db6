/**
 * Roles of stored tensors in a training, decided at its start and stored in the model. Existing roles take precedence.
 *
 * - `buffer`: masks and sinusoids (`fixed-tables.ts`), which are not trained.
 * - `tied`: a matrix that is stored twice, perhaps transposed (`ties.ts`), is one parameter.
 * - `state`, on request: running statistics. An exported network trains with fixed statistics; with this role each step
 *   normalizes by batch statistics and updates the running ones, like PyTorch's `train()` (`step-graph.ts`).
 *
 * Tensors that a file shares only because they are equal are separated first (`shared-constants.ts`).
 */

import { downstream } from "../../core/analysis/downstream.ts";
import { buffersAmong } from "../../core/analysis/fixed-tables.ts";
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { parametersOf } from "../../core/analysis/parameters.ts";
import { Miss } from "../../core/errors.ts";
import { describe, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { buffer, type Role, roleWords } from "../../core/graph/role.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import { type ConstantCopy, giveOwnStatistics, partConstants } from "./shared-constants.ts";
import { tiesAmong } from "./ties.ts";

export interface Declaration {
  readonly declared: ReadonlyMap<Value, Role>;
  /** Running statistics that shared a tensor with a trained parameter and are now separate. */
  readonly ownStatistics: readonly ConstantCopy[];
  /** Parameters that shared a tensor and are now separate. */
  readonly parted: readonly ConstantCopy[];
  readonly misses: readonly Miss[];
}

/**
 * Writes roles into a model, in place: buffers, ties and, with `batchStatistics`, states. Scales of ones and biases of zeros that
 * several layers share become separate tensors. `train` does this itself; call it before `createStep` for a custom loop.
 * @example
 * const { misses } = await declareRoles(model, { batchStatistics: true });
 * for (const miss of misses) console.warn(miss.at, miss.reason);
 */
export async function declareRoles(
  model: Model,
  { batchStatistics = false }: { readonly batchStatistics?: boolean | undefined } = {},
): Promise<Declaration> {
  const initialInference = infer(model);
  const ownStatistics = giveOwnStatistics(model, initialInference, parametersOf(model, initialInference));
  const parted = await partConstants(model, infer(model));
  const inference = infer(model);
  const trained = parametersOf(model, inference);
  const declared = new Map<Value, Role>();
  // In file order: the first of two equal matrices is the one that is trained.
  const parameters = [...model.graph.values()].filter((value) => trained.has(value));
  for (const value of await buffersAmong(parameters.filter(({ role }) => role === undefined)))
    declared.set(value, buffer);
  for (const { copy, of, transposed } of await tiesAmong(parameters.filter((value) => !declared.has(value))))
    declared.set(copy, { kind: "tied", name: of.name, transposed });
  const misses = batchStatistics ? declareStates(model, inference, declared) : [];
  for (const [value, role] of declared) value.role = role;
  return { declared, ownStatistics, parted, misses };
}

export function hasRunningStatistics(model: Model, inference: Inference): boolean {
  return [...model.graph.nodes()].some((node) => {
    const bound = inference.at(node);
    const states =
      bound instanceof Miss ? [] : (bound.training()?.states ?? []).flatMap((input) => node.inputs[input] ?? []);
    return states.length > 0 && states.every((value) => whyNotCarried(value) === undefined);
  });
}

/** Declares the float values that nodes carry in training mode. The switch of a dropout is not one. */
function declareStates(model: Model, inference: Inference, declared: Map<Value, Role>): readonly Miss[] {
  const misses: Miss[] = [];
  let statefulNodes = 0;
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    const form = bound instanceof Miss ? undefined : bound.training();
    const states = (form?.states ?? []).flatMap((input) => node.inputs[input] ?? []);
    if (states.length === 0 || !states.every(({ type }) => type === undefined || isFloat(type.type))) continue;
    statefulNodes++;
    const reason = states.map(whyNotCarried).find((reason) => reason !== undefined);
    if (reason !== undefined) misses.push(new Miss(`keeps its running statistics frozen: ${reason}`, describe(node)));
    else for (const value of states) declared.set(value, { kind: "state" });
    const readers = new Set(states.flatMap(({ uses }) => [...uses].map((use) => use.node)));
    if (reason === undefined && readers.size > 1) {
      const text = `shares its running statistics with ${readers.size - 1} other nodes; exporters store equal tensors only once`;
      misses.push(new Miss(text, describe(node)));
    }
  }
  if (statefulNodes === 0)
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

/** Returns layers with quantized weights, except those whose values `trained` moves, as a palette does. */
export function quantizedWeights(model: Model, inference: Inference, trained: readonly Value[] = []): readonly Miss[] {
  const moved = downstream(model.graph, trained, inference);
  return layers(model, inference).flatMap(({ name, weight }) => {
    const type = weight.tensor?.type;
    return type === undefined || isFloat(type) || meetsAny(weight, moved)
      ? []
      : [new Miss(`its weight is stored as ${type} and is not changed`, name)];
  });
}

/** Returns whether a quantized value meets one of these values before it becomes a float. */
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
