/**
 * Decides the roles of stored tensors at the start of a training, and stores them in the model. Existing roles take precedence.
 *
 * - `buffer`: masks and sinusoids (`buffers.ts`), which are not trained.
 * - `tied`: a matrix that is stored twice, perhaps transposed (`ties.ts`), is one parameter.
 * - `state`, on request: running statistics. An exported network trains with fixed statistics; with this role each step
 *   normalizes by batch statistics and updates the running ones, like PyTorch's `train()` (`step-graph.ts`).
 *
 * Tensors that a file shares only because they are equal are separated first (`shared-constants.ts`).
 */
import { buffersAmong, type Inference, infer, parametersOf } from "#analysis";
import { buffer, describeRole, isFloat, Miss, type Model, nodeText, type Role, type Value } from "#ir";
import { type ConstantCopy, separateConstants, separateStatistics } from "./shared-constants.ts";
import { findTies } from "./ties.ts";

export interface RoleDeclaration {
  readonly declared: ReadonlyMap<Value, Role>;
  /** Running statistics that shared a tensor with a trained parameter and are now separate. */
  readonly separatedStatistics: readonly ConstantCopy[];
  /** Parameters that shared a tensor and are now separate. */
  readonly separatedParameters: readonly ConstantCopy[];
  readonly misses: readonly Miss[];
}

/**
 * Writes roles into a model, in place: buffers, ties and, with `batchStatistics`, states. Scales of ones and biases of zeros that
 * several layers share become separate tensors. `train` and `createStep` do this themselves; call it before `createStep` for batch statistics.
 */
export async function declareRoles(
  model: Model,
  { batchStatistics = false }: { readonly batchStatistics?: boolean | undefined } = {},
): Promise<RoleDeclaration> {
  const initialInference = infer(model);
  const ownStatistics = separateStatistics(model, initialInference, parametersOf(model, initialInference));
  const parameterCopies = await separateConstants(model, infer(model));
  const inference = infer(model);
  const trainedParameters = parametersOf(model, inference);
  const declared = new Map<Value, Role>();
  // Parameters are listed in file order, because the first of two equal matrices is the one that is trained.
  const parameters = [...model.graph.values()].filter((value) => trainedParameters.has(value));
  for (const value of await buffersAmong(parameters.filter(({ role }) => role === undefined)))
    declared.set(value, buffer);
  for (const { copy, original, transposed } of await findTies(parameters.filter((value) => !declared.has(value))))
    declared.set(copy, { kind: "tied", name: original.name, transposed });
  const misses = batchStatistics ? declareStates(model, inference, declared) : [];
  for (const [value, role] of declared) value.role = role;
  return { declared, separatedStatistics: ownStatistics, separatedParameters: parameterCopies, misses };
}

export function hasRunningStatistics(model: Model, inference: Inference): boolean {
  return [...statefulNodes(model, inference)].some(({ states }) =>
    states.every((value) => frozenReason(value) === undefined),
  );
}

/** Yields the nodes with inputs that training mode updates. */
function* statefulNodes(model: Model, inference: Inference) {
  for (const node of model.graph.nodes()) {
    const inputs = inference.facet(node, "training")?.states ?? [];
    const states = inputs.flatMap((input) => node.inputs[input] ?? []);
    if (states.length > 0) yield { node, states };
  }
}

/** Declares the float values that nodes update in training mode; the mode switch of a dropout is not a float. */
function declareStates(model: Model, inference: Inference, declaredRoles: Map<Value, Role>): readonly Miss[] {
  const misses: Miss[] = [];
  const nodes = [...statefulNodes(model, inference)].filter(({ states }) =>
    states.every(({ type }) => type === undefined || isFloat(type.type)),
  );
  for (const { node, states } of nodes) {
    const reason = states.map(frozenReason).find((text) => text !== undefined);
    if (reason !== undefined) {
      misses.push(new Miss(`keeps its running statistics frozen: ${reason}`, nodeText(node)));
      continue;
    }
    for (const value of states) declaredRoles.set(value, { kind: "state" });
    const readers = new Set(states.flatMap(({ uses }) => [...uses].map((use) => use.node)));
    if (readers.size === 1) continue;
    const text = `shares its running statistics with ${readers.size - 1} other nodes; exporters store equal tensors only once`;
    misses.push(new Miss(text, nodeText(node)));
  }
  if (nodes.length > 0) return misses;
  return [new Miss("it has no running statistics: normalizations may have been folded into the layers before them")];
}

/** Returns why training cannot update a value; undefined if it can. */
function frozenReason({ name, tensor, role }: Value): string | undefined {
  if (tensor === undefined) return `"${name}" is computed`;
  if (tensor.type !== "float32" && tensor.type !== "float64") return `"${name}" is ${tensor.type}`;
  return role === undefined || role.kind === "state" ? undefined : `"${name}" is ${describeRole(role)}`;
}
