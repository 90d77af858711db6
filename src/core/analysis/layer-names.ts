/** Derives the layer names with which users select layers, equal before and after every technique. */
import { type Node, nodeName } from "../graph/graph.ts";

const weightEnding = /[./:_](weight|kernel|w)$/i;

/** The suffix of quantized weights. It is numbered if a matrix is stored in several forms, as in "fc1.weight_quantized_1". */
const codesEnding = /_quantized(_\d+)?$/;

export const matrixName = (name: string): string => name.replace(codesEnding, "");

/**
 * Returns a layer's name. The first of these that exists:
 * 1. the stem of the weight's name before masking ("fc1" for "fc1.weight"),
 * 2. the module path that the exporter recorded,
 * 3. the node's name.
 * For 2 and 3, `part` is appended to distinguish the weights of one node.
 */
export function layerName(name: string, node: Node, part: string | undefined): string {
  return stemOf(name) ?? partName(moduleOf(node) ?? nodeName(node), part);
}

/** Returns whether the name of a weight names its layer, so that the module path of the node is not needed. */
export const namesLayer = (name: string): boolean => stemOf(name) !== undefined;

function stemOf(name: string): string | undefined {
  const matrix = matrixName(name);
  const stem = matrix.replace(weightEnding, "");
  return stem === matrix || stem === "" ? undefined : stem;
}

export function partName(base: string, part: string | undefined): string {
  return part === undefined ? base : `${base}.${part}`;
}

/**
 * The metadata key under which PyTorch lists the modules around a node, outermost first and the node last: "['', 'bert', 'bert.pooler', 'linear']".
 */
export const scopesKey = "pkg.torch.onnx.name_scopes";

/**
 * Returns the module path that the exporter recorded for a node. It names layers whose parameters have generated names ("val_62",
 * "onnx::MatMul_123"). PyTorch's older exporter names nodes "/layer1/layer1.0/conv1/Conv". A part that starts with the previous part replaces it
 * there, which gives "layer1.0.conv1".
 */
export function moduleOf(node: Node): string | undefined {
  const scopes = [...(node.metadata.get(scopesKey) ?? "").matchAll(/'([^']*)'/g)].map(([, scope]) => scope ?? "");
  const innermost = scopes.at(-2);
  if (innermost !== undefined && innermost !== "") return innermost;
  const name = nodeName(node);
  if (!name.startsWith("/")) return undefined;
  const path: string[] = [];
  for (const part of name.split("/").slice(1, -1)) {
    const last = path.at(-1);
    if (last !== undefined && part.startsWith(`${last}.`)) path.pop();
    path.push(part);
  }
  return path.length === 0 ? undefined : path.join(".");
}
