/** Derives the names with which users select layers. */
import { type Node, nodeName } from "#graph";

const weightEnding = /[./:_](weight|kernel|w)$/i;
/** The suffix that quantization appends to a weight's name, such as "fc1.weight_quantized_1". */
const quantizedEnding = /_quantized(_\d+)?$/;
export const matrixName = (name: string): string => name.replace(quantizedEnding, "");

/** Returns the stem of the weight's name ("fc1" for "fc1.weight"), or the module path or node name, with `part` if the node has several weights. */
export function layerName(name: string, node: Node, part: string | undefined): string {
  return stemOf(name) ?? partName(moduleOf(node) ?? nodeName(node), part);
}

/** Returns whether a layer can be named after its weight, as "fc1" after "fc1.weight". */
export const canNameLayer = (name: string): boolean => stemOf(name) !== undefined;

function stemOf(name: string): string | undefined {
  const matrix = matrixName(name);
  const stem = matrix.replace(weightEnding, "");
  return stem === matrix || stem === "" ? undefined : stem;
}

export function partName(base: string, part: string | undefined): string {
  return part === undefined ? base : `${base}.${part}`;
}

/** The metadata key under which PyTorch lists a node's enclosing modules: "['', 'bert', 'bert.pooler', 'linear']". */
export const scopesKey = "pkg.torch.onnx.name_scopes";

/** Returns the module path that the exporter recorded, in metadata or in the node name: "/layer1/layer1.0/conv1/Conv" gives "layer1.0.conv1". */
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
