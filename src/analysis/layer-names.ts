/** What a layer is called: users select it by this name, before and after every technique. */
import { type Node, nodeName } from "../graph/graph.ts";

/** Endings by which exporters mark the weight of a layer. */
const weightEnding = /[./:_](weight|kernel|w)$/i;

/** The ending of codes, with a number where layers read one matrix in several forms, each stored: "fc1.weight_quantized_1". */
const codesEnding = /_quantized(_\d+)?$/;

/** What a matrix is called, in floats or in codes. */
export const matrixName = (name: string): string => name.replace(codesEnding, "");

/**
 * What a layer is called whose weight has this name, a mask aside (`plainName`): the weight's stem ("fc1" of "fc1.weight"), else the place in the
 * network that was exported, else the node's name; `part` tells the weights of one node apart.
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

/** Under this key PyTorch lists the modules around a node, outermost first, and the node last: "['', 'bert', 'bert.pooler', 'linear']". */
export const scopesKey = "pkg.torch.onnx.name_scopes";

/**
 * The path of the module that a node was exported from, where the exporter wrote it down: parameters that it rearranged have no names of
 * their own ("val_62", "onnx::MatMul_123"). The older exporter of PyTorch names nodes "/layer1/layer1.0/conv1/Conv", in which a part that
 * repeats the one before it stands in its place: "layer1.0.conv1".
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
