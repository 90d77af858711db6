/** Replaces values while keeping the names by which callers address outputs, inputs and weights. */
import { modelError } from "../errors.ts";
import type { Graph, Node, Value } from "./graph.ts";

/**
 * Connects every reader of `old`, including subgraphs and graph outputs, to `replacement`. An output keeps its name: the replacement is renamed, or
 * copied by an Identity node.
 * @param except A node that continues to read `old`.
 * @throws PithError E_MODEL if `replacement` is not visible in the graph of `old`.
 */
export function replaceUses(old: Value, replacement: Value, except?: Node): void {
  if (old === replacement) return;
  const { graph, name } = old;
  if (!graph.sees(replacement))
    throw modelError(`"${replacement.name}" belongs to a graph that is not visible from graph "${graph.name}".`);
  const isOutput = graph.isOutput(old);
  const needsCopy = isOutput && !canTakeName(replacement, graph);
  replaceReads(old, replacement, except);
  if (!isOutput) return;
  graph.rename(old, graph.freshName(`${name}_replaced`));
  if (!needsCopy) {
    graph.rename(replacement, name);
    // The stated type contains the names of the output's dimensions, which are part of the model's interface.
    if (replacement.producer !== undefined && old.stated !== undefined) replacement.type = old.stated;
  }
  const output = needsCopy ? copyTo(name, replacement, old) : replacement;
  graph.setOutputs(graph.outputs.map((value) => (value === old ? output : value)));
}

/** Connects nodes that read `old` to `replacement`. Graph outputs are unchanged. */
export function replaceReads(old: Value, replacement: Value, except?: Node): void {
  for (const { node, input } of [...old.uses]) if (node !== except) node.graph.setInput(node, input, replacement);
}

/** Replaces a value for all readers, moves its name to the replacement if possible, and removes the old producer if it is unused. */
export function substitute(old: Value, replacement: Value): void {
  const { graph, name, producer } = old;
  if (graph.ownValue(name) !== old) return;
  replaceUses(old, replacement);
  const isUnused = (value: Value | undefined): boolean =>
    value === undefined || (value.uses.size === 0 && !graph.isOutput(value));
  if (producer?.outputs.every(isUnused)) graph.removeNode(producer);
  if (replacement.name === name || !canTakeName(replacement, graph)) return;
  if (graph.ownValue(name) === old) graph.rename(old, graph.freshName(`${name}_replaced`));
  if (graph.freshName(name) === name) graph.rename(replacement, name);
}

/** Replaces a node by one value per output. @throws PithError E_MODEL if an output without one is used. */
export function replaceNode(node: Node, values: readonly (Value | undefined)[]): void {
  const { graph } = node;
  const outputs = [...node.outputs];
  outputs.forEach((output, index) => {
    const value = values[index];
    if (output === undefined || value === undefined) return;
    if (value.producer !== undefined) value.type = output.stated ?? value.type;
    substitute(output, value);
  });
  // Replacing the last used output can already have removed the node.
  if (outputs.some((output) => output !== undefined && graph.ownValue(output.name) === output)) graph.removeNode(node);
}

/** Returns whether a value can get the name of a graph output. */
export function canTakeName(value: Value, graph: Graph): boolean {
  if (value.graph !== graph) return false;
  const isNamedWeight = value.tensor !== undefined && value.role !== undefined;
  return !isNamedWeight && !graph.isInput(value) && !graph.isOutput(value);
}

/** Adds an Identity node that copies `value` to an output with the given name and the type of `old`. */
function copyTo(name: string, value: Value, old: Value): Value {
  const { graph } = old;
  const producer = value.graph === graph ? value.producer : undefined;
  const place =
    producer !== undefined ? { after: producer } : old.producer !== undefined ? { before: old.producer } : {};
  const [output] = graph.addNode({ op: "Identity", inputs: [value], outputs: [name] }, place).outputs;
  if (output === undefined) throw modelError(`internal: the copy to "${name}" has no output.`);
  output.type = old.stated ?? value.stated;
  output.inferred = old.inferred ?? value.inferred;
  return output;
}
