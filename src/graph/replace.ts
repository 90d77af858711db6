/** Other values in the place of those that are there. Callers know outputs, inputs and weights by name: those names stay. */
import { PithError } from "../errors.ts";
import type { Graph, Node, Value } from "./graph.ts";

/**
 * Lets every consumer of `old`, subgraphs and graph outputs included, take `replacement`; `except` keeps what it has.
 *
 * Where `old` is an output of its graph, the replacement takes over its name, and `old` gets another. A replacement that has to keep its own
 * name (`canTakeName`) is copied to the output by an Identity. Costs the number of uses.
 * @throws PithError E_MODEL if the graph does not see the replacement: then nothing has changed.
 */
export function replaceUses(old: Value, replacement: Value, except?: Node): void {
  if (old === replacement) return;
  const { graph, name } = old;
  if (!graph.sees(replacement))
    throw new PithError(
      "E_MODEL",
      `"${replacement.name}" belongs to a graph that is not visible from graph "${graph.name}".`,
    );
  const isOutput = graph.isOutput(old);
  const copied = isOutput && !canTakeName(replacement, graph);
  replaceReads(old, replacement, except);
  if (!isOutput) return;
  graph.rename(old, graph.freshName(`${name}_replaced`));
  if (!copied) {
    graph.rename(replacement, name);
    // The names of its sizes are as much the model's interface as its own.
    if (replacement.producer !== undefined && old.stated !== undefined) replacement.type = old.stated;
  }
  const output = copied ? copyTo(name, replacement, old) : replacement;
  graph.setOutputs(graph.outputs.map((value) => (value === old ? output : value)));
}

/** Lets every node that reads `old`, but for `except`, read `replacement`; outputs stay. */
export function replaceReads(old: Value, replacement: Value, except?: Node): void {
  for (const { node, input } of [...old.uses]) if (node !== except) node.graph.setInput(node, input, replacement);
}

/**
 * Puts a new value in the place of an old one: every consumer takes it, it takes over the name, and the node that produced the old one
 * goes if nothing needs it any more. A value that has to keep its own name (`canTakeName`) keeps it; one that is gone needs nothing.
 */
export function substitute(old: Value, replacement: Value): void {
  const { graph, name, producer } = old;
  if (graph.ownValue(name) !== old) return;
  replaceUses(old, replacement);
  const isIdle = (value: Value | undefined): boolean =>
    value === undefined || (value.uses.size === 0 && !graph.isOutput(value));
  if (producer?.outputs.every(isIdle)) graph.removeNode(producer);
  if (replacement.name === name || !canTakeName(replacement, graph)) return;
  if (graph.ownValue(name) === old) graph.rename(old, graph.freshName(`${name}_replaced`));
  if (graph.freshName(name) === name) graph.rename(replacement, name);
}

/**
 * Puts values in the place of what a node makes, one for each output, under the same names (`substitute`), and removes the node. What the
 * file states of an output holds for the value that a node makes in its place.
 * @throws PithError E_MODEL if an output without such a value is used.
 */
export function replaceNode(node: Node, values: readonly (Value | undefined)[]): void {
  const { graph } = node;
  const outputs = [...node.outputs];
  outputs.forEach((output, index) => {
    const value = values[index];
    if (output === undefined || value === undefined) return;
    if (value.producer !== undefined) value.type = output.stated ?? value.type;
    substitute(output, value);
  });
  // With the last output that is used it has gone already.
  if (outputs.some((output) => output !== undefined && graph.ownValue(output.name) === output)) graph.removeNode(node);
}

/**
 * Whether a value may give up its name for that of an output of a graph: not if it is an input, an output itself, a weight with a role, or a
 * value of another graph, which all are known by name.
 */
export function canTakeName(value: Value, graph: Graph): boolean {
  if (value.graph !== graph) return false;
  const held = value.tensor !== undefined && value.role !== undefined;
  return !held && !graph.isInput(value) && !graph.isOutput(value);
}

/** An Identity from `value` to an output `name` in the place of `old`, right after `value` comes to be. */
function copyTo(name: string, value: Value, old: Value): Value {
  const { graph } = old;
  const producer = value.graph === graph ? value.producer : undefined;
  const place =
    producer !== undefined ? { after: producer } : old.producer !== undefined ? { before: old.producer } : {};
  const [output] = graph.addNode({ op: "Identity", inputs: [value], outputs: [name] }, place).outputs;
  if (output === undefined) throw new PithError("E_MODEL", `internal: the copy to "${name}" has no output.`);
  output.type = old.stated ?? value.stated;
  output.inferred = old.inferred ?? value.inferred;
  return output;
}
