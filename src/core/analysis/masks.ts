/**
 * A pruning mask is a value with the role `mask` that a node multiplies with a stored parameter.
 *      fc1.weight_orig: float32[128, 784] parameter
 *      fc1.weight_mask: float32[128, 784] mask
 *      fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 */
import type { Graph, Node, Value } from "../graph/graph.ts";

export interface Masked {
  /** `<name>_orig`: the trained tensor. */
  readonly parameter: Value;
  readonly mask: Value;
  readonly product: Value;
  readonly node: Node;
}

export function maskedAt(parameter: Value): Masked | undefined {
  for (const { node } of parameter.uses) {
    const mask = node.inputs.find((input) => input !== parameter && input?.role?.kind === "mask");
    const [product] = node.outputs;
    if (mask?.tensor !== undefined && product !== undefined) return { parameter, mask, product, node };
  }
  return undefined;
}

export function maskedBy({ producer }: Value): Masked | undefined {
  return producer === undefined ? undefined : maskedIn(producer);
}

export function allMasked(graph: Graph): readonly Masked[] {
  return [...graph.nodes()].flatMap((node) => maskedIn(node) ?? []);
}

function maskedIn(node: Node): Masked | undefined {
  if (!node.inputs.some((input) => input?.role?.kind === "mask")) return undefined;
  const parameter = node.inputs.find((input) => input?.tensor !== undefined && input.role?.kind !== "mask");
  const masked = parameter === undefined ? undefined : maskedAt(parameter);
  return masked?.node === node ? masked : undefined;
}

export function plainName(parameter: Value): string {
  return maskedAt(parameter)?.product.name ?? parameter.name;
}
