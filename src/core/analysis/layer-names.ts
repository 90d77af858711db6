/** Layer names, by which users select layers before and after every technique. */
import { type Node, nodeName } from "../graph/graph.ts";

const weightEnding = /[./:_](weight|kernel|w)$/i;

/** The suffix of quantized weights, numbered if a matrix is stored in several forms: "fc1.weight_quantized_1". */
const codesEnding = /_quantized(_\d+)?$/;

export const matrixName = (name: string): string => name.replace(codesEnding, "");

/**
 * Returns a layer's name from that of its unmasked weight: the stem ("fc1" of "fc1.weight"), else the exported module path, else the node's name.
 * `part` distinguishes the weights of one node.
 */
export function layerName(name: string, node: Node, part: string | undefined): string {
  const matrix = matrixName(name);
  const stem = matrix.replace(weightEnding, "");
  if (stem !== matrix && stem !== "") return stem;
  return partName(moduleOf(node) ?? nodeName(node), part);
}

export function partName(place: string, part: string | undefined): string {
  return part === undefined ? place : `${place}.${part}`;
}

/** PyTorch lists the modules around a node under this key, outermost first, the node last: "['', 'bert', 'bert.pooler', 'linear']". */
export const scopesKey = "pkg.torch.onnx.name_scopes";

/**
 * Returns the exported module path of a node: rearranged parameters have generated names ("val_62", "onnx::MatMul_123").
 * PyTorch's older exporter names nodes "/layer1/layer1.0/conv1/Conv", where a part that repeats its predecessor replaces it: "layer1.0.conv1".
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
