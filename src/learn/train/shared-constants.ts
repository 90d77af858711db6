/**
 * Separates scales of ones and biases of zeros that a file shares between layers only because they are equal. If they were trained as one tensor, it
 * would move by the sum of all gradients.
 *
 *     ones: norm1, norm2, norm3          ones: norm1     ones_1: norm2     ones_2: norm3
 *
 * Tensors with a role or with different values stay shared. So do tensors whose readers share learned tensors, like the steps of a recurrent layer.
 */
import { type Inference, type ParameterRead, parameterReads } from "#analysis";
import { groupBy, isFloat, type Model, type Node, toFloat64, type Use, type Value } from "#ir";
import type { Context } from "#pass";

/** A separate tensor for the input `input` of the node that computes `reader`. Names are stored because copies of the model have equal names. */
export interface ConstantCopy {
  readonly name: string;
  readonly reader: string;
  readonly input: number;
  /** Name of the value that the tensor replaces as an input. */
  readonly before: string;
  /** Name of the shared tensor: `before`, or the tensor of which `before` is an alias. */
  readonly stored: string;
}

/** Larger tensors are matrices, which are never constant. */
const maxBytes = 2 ** 20;

/** Gives each layer a separate tensor instead of a shared constant, in place. */
export async function separateConstants(model: Model, inference: Inference): Promise<readonly ConstantCopy[]> {
  const byRoot = groupBy(parameterReads(model, inference), ({ root }) => root);
  /** For each node: the names of the learned tensors that it shares with other nodes, as a key. */
  const sharedNames = new Map<Node, string>();
  const constants: (readonly [root: Value, reads: readonly ParameterRead[]])[] = [];
  for (const [root, reads] of byRoot) {
    if (root.graph !== model.graph) continue;
    if (await isConstant(root)) constants.push([root, reads]);
    else if (new Set(reads.map(({ node }) => node)).size > 1)
      for (const { node } of reads) sharedNames.set(node, `${sharedNames.get(node) ?? ""}${root.name}\n`);
  }
  const names = new Set<string>();
  const copies = constants.flatMap(([root, reads]) => copiesOf(model, root, reads, sharedNames, names));
  applyCopies(model, copies);
  return copies;
}

export function applyCopies({ graph, header }: Model, copies: readonly ConstantCopy[]): void {
  for (const { name, reader, input, before, stored } of copies) {
    const node = graph.value(reader)?.producer;
    const { tensor } = graph.value(stored) ?? {};
    if (node?.inputs[input]?.name !== before || tensor === undefined) continue;
    const value = graph.value(name) ?? graph.addTensor(name, tensor);
    // Up to IR 3 a stored tensor must be an input.
    if (header.irVersion < 4 && !graph.inputs.includes(value)) graph.setInputs([...graph.inputs, value]);
    graph.setInput(node, input, value);
  }
}

export function logSeparated(copies: readonly ConstantCopy[], { log }: Pick<Context, "log">): void {
  const names = [...new Set(copies.map(({ before }) => before))];
  const [first] = names;
  if (first === undefined) return;
  const moreText = names.length === 1 ? "" : ` (and ${names.length - 1} more)`;
  const text = `"${first}"${moreText}, of equal numbers and stored once for several layers, becomes one tensor per layer: they are trained separately`;
  log({ id: "parted", text });
}

/** Returns whether a float tensor without a role has only equal elements. A single element must be 0 or 1, since learned values can be equal, too. */
async function isConstant({ tensor, role }: Value): Promise<boolean> {
  if (role !== undefined || tensor === undefined || !isFloat(tensor.type) || tensor.bytes > maxBytes) return false;
  const numbers = toFloat64(await tensor.read());
  const [first] = numbers;
  if (numbers.length === 1) return first === 0 || first === 1;
  return first !== undefined && numbers.every((entry) => entry === first);
}

function copiesOf(
  { graph }: Model,
  root: Value,
  reads: readonly ParameterRead[],
  sharedNames: ReadonlyMap<Node, string>,
  names: Set<string>,
): readonly ConstantCopy[] {
  const uses = reads.flatMap((read) => {
    const use = firstUse(read);
    if (use === undefined || use.node.graph !== graph || use.node.outputs[0] === undefined) return [];
    return [{ ...use, module: sharedKey(read.node, sharedNames) ?? read }];
  });
  const modules = [...groupBy(uses, ({ module }) => module).values()];
  // The first module keeps the original tensor. If other nodes or a model output read it too, every module gets a copy.
  const separatedModules = root.uses.size > uses.length || graph.isOutput(root) ? modules : modules.slice(1);
  return separatedModules.flatMap((uses) => {
    let name = graph.freshName(root.name);
    for (let count = 2; names.has(name); count++) name = graph.freshName(`${root.name}_${count}`);
    names.add(name);
    const { name: before } = root;
    return uses.map(({ node, input }) => ({
      name,
      reader: node.outputs[0]?.name ?? "",
      input,
      before,
      stored: before,
    }));
  });
}

/** Returns the first use on a reader's path from the stored tensor, if the path has no other reader. */
function firstUse({ node, input, root }: ParameterRead): Use | undefined {
  const value = node.inputs[input];
  if (value === root) return { node, input };
  const before = value?.producer;
  if (value === undefined || before === undefined || value.uses.size > 1 || value.graph.isOutput(value))
    return undefined;
  for (const [index, source] of before.inputs.entries()) {
    const use = source === undefined ? undefined : firstUse({ node: before, input: index, root });
    if (use !== undefined) return use;
  }
  return undefined;
}

/** Returns the key in `shared` of a node, or else the joined keys of the nodes that compute its inputs; undefined if there are none. */
function sharedKey(node: Node, shared: ReadonlyMap<Node, string>): string | undefined {
  const neighbors = node.inputs.flatMap((value) =>
    value?.producer === undefined ? [] : (shared.get(value.producer) ?? []),
  );
  return shared.get(node) ?? (neighbors.length === 0 ? undefined : neighbors.join(""));
}

/** Separates running statistics from trained parameters that they equal in an untrained network: a shared mean would move with the bias. */
export function separateStatistics(
  model: Model,
  inference: Inference,
  trainedValues: ReadonlySet<Value>,
): readonly ConstantCopy[] {
  const { graph } = model;
  const copies: ConstantCopy[] = [];
  for (const node of graph.nodes()) {
    const states = inference.facet(node, "training")?.states ?? [];
    const reader = node.outputs[0]?.name;
    for (const input of states) {
      const before = node.inputs[input];
      const root = before === undefined ? undefined : findAliasedTensor(before, inference);
      if (reader === undefined || before === undefined || root === undefined) continue;
      if (before.role !== undefined || !trainedValues.has(root)) continue;
      const name = graph.freshName(before.name);
      const copy = { name, reader, input, before: before.name, stored: root.name };
      applyCopies(model, [copy]);
      copies.push(copy);
    }
  }
  return copies;
}

function findAliasedTensor(value: Value, inference: Inference): Value | undefined {
  const { producer } = value;
  if (producer === undefined) return value;
  const unchangedInput = inference.facet(producer, "unchanged");
  const before = unchangedInput === undefined ? undefined : producer.inputs[unchangedInput];
  return before === undefined ? undefined : findAliasedTensor(before, inference);
}
