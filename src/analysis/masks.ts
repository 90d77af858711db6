/**
 * What a pruning mask is: a value with the role `mask` that a node multiplies with a stored parameter.
 *
 *     fc1.weight_orig: float32[128, 784] parameter
 *     fc1.weight_mask: float32[128, 784] mask
 *     fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 *
 * The role says it all: a mask is only ever multiplied.
 */
import { Miss } from "../errors.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";

/** A parameter behind a mask. */
export interface Masked {
  /** `<name>_orig`: what is trained. */
  readonly parameter: Value;
  /** `<name>_mask` */
  readonly mask: Value;
  /** `<name>`: parameter times mask. */
  readonly product: Value;
  readonly node: Node;
}

/** What a stored parameter is masked by, if it is. */
export function maskedAt(parameter: Value): Masked | undefined {
  for (const { node } of parameter.uses) {
    const mask = node.inputs.find((input) => input !== parameter && input?.role?.kind === "mask");
    const [product] = node.outputs;
    if (mask?.tensor !== undefined && product !== undefined) return { parameter, mask, product, node };
  }
  return undefined;
}

/** The masked parameter that a value is the product of, if it is. */
export function maskedBy({ producer }: Value): Masked | undefined {
  return producer === undefined ? undefined : maskedIn(producer);
}

/** All masked parameters of a graph, in the order of their products. */
export function allMasked(graph: Graph): readonly Masked[] {
  return [...graph.nodes()].flatMap((node) => maskedIn(node) ?? []);
}

function maskedIn(node: Node): Masked | undefined {
  if (!node.inputs.some((input) => input?.role?.kind === "mask")) return undefined;
  const parameter = node.inputs.find((input) => input?.tensor !== undefined && input.role?.kind !== "mask");
  const masked = parameter === undefined ? undefined : maskedAt(parameter);
  return masked?.node === node ? masked : undefined;
}

/** The name of a parameter, masked or not: `fc1.weight`. */
export function plainName(parameter: Value): string {
  return maskedAt(parameter)?.product.name ?? parameter.name;
}

/**
 * Why a stored value is not pruned, if so.
 * @param learned the parameters of the model (`parametersOf`): other numbers in their places are arithmetic of the graph. Absent where a
 * user names the layer, and so means it.
 */
export function whyNotPruned(model: Model, parameter: Value, learned?: ReadonlySet<Value>): Miss | undefined {
  const { tensor, role } = parameter;
  if (tensor === undefined || parameter.graph !== model.graph)
    return new Miss("it is not stored in the main graph", parameter.name);
  if (!isFloat(tensor.type)) return new Miss(`it is stored as ${tensor.type}`, parameter.name);
  // ONNX Runtime converts bfloat16, and has no product of it, so that a mask would not load.
  if (tensor.type === "bfloat16")
    return new Miss("it is stored as bfloat16, which the runtime cannot mask", parameter.name);
  if (role?.kind === "tied") return new Miss(`it is tied to "${role.name}"`, parameter.name);
  const [other] = model.graph.tiedTo(parameter.name);
  if (other !== undefined) return new Miss(`"${other.value.name}" is tied to it`, parameter.name);
  return learned?.has(parameter) === false
    ? new Miss("it holds constants, which are not trained", parameter.name)
    : undefined;
}
