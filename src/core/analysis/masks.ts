/**
 * Finds pruning masks. A mask is a stored tensor with the role `mask`, which a node multiplies with a parameter:
 *      fc1.weight_orig: float32[128, 784] parameter
 *      fc1.weight_mask: float32[128, 784] mask
 *      fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 */
import type { Graph, Node, Value } from "#graph";

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
  const masking = parameter === undefined ? undefined : maskingOf(parameter);
  return masking?.node === node ? masking : undefined;
}

/** Returns the name that a parameter had before masking: "fc1.weight" for "fc1.weight_orig". */
export function nameBeforeMasking(parameter: Value): string {
  return maskingOf(parameter)?.product.name ?? parameter.name;
}
