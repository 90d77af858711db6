/**
 * Finds pruning masks. A mask is a value with the role `mask`, and a node multiplies it with a stored parameter:
 *      fc1.weight_orig: float32[128, 784] parameter
 *      fc1.weight_mask: float32[128, 784] mask
 *      fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 */
import type { Graph, Node, Value } from "../graph/graph.ts";

export interface Masking {
  /** The trained tensor, with the name `<name>_orig`. */
  readonly parameter: Value;
  readonly mask: Value;
  readonly product: Value;
  readonly node: Node;
}

export function maskingOf(parameter: Value): Masking | undefined {
  for (const { node } of parameter.uses) {
    const mask = node.inputs.find((input) => input !== parameter && input?.role?.kind === "mask");
    const [product] = node.outputs;
    if (mask?.tensor !== undefined && product !== undefined) return { parameter, mask, product, node };
  }
  return undefined;
}

export function maskingOfProduct({ producer }: Value): Masking | undefined {
  return producer === undefined ? undefined : maskingOfNode(producer);
}

export function allMaskings(graph: Graph): readonly Masking[] {
  return [...graph.nodes()].flatMap((node) => maskingOfNode(node) ?? []);
}

function maskingOfNode(node: Node): Masking | undefined {
  if (!node.inputs.some((input) => input?.role?.kind === "mask")) return undefined;
  const parameter = node.inputs.find((input) => input?.tensor !== undefined && input.role?.kind !== "mask");
  const masked = parameter === undefined ? undefined : maskingOf(parameter);
  return masked?.node === node ? masked : undefined;
}

/** Returns the name of a parameter without the suffix that masking added. */
export function plainName(parameter: Value): string {
  return maskingOf(parameter)?.product.name ?? parameter.name;
}
