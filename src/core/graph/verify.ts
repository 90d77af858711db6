/** Checks that a model is valid. Reads names, types and dimensions, but no weights. */
import { Miss, modelError } from "../errors.ts";
import { dimsText } from "../tensor/dims.ts";
import { allGraphs, allNodes, type Graph, type Node, nodeText, subgraphs, type Use, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { roleText } from "./role.ts";
import { checkForm, schemasOf } from "./schema.ts";

/**
 * Returns one sentence per violation of these rules, in the main graph and in subgraphs:
 * - Each node input is a graph input, stored, or produced earlier. Outputs exist and belong to their graph, because ONNX Runtime rejects subgraphs
 *   that output an outer value.
 * - Values and nodes agree about producers, uses, inputs and outputs.
 * - No value of a subgraph has the name of an outer value that the subgraph reads. Node names are unique within a graph.
 * - A stored tensor has the declared type and dimensions of its value, and roles suit their values.
 * - The imported opset defines each operator with these inputs, outputs and attributes, if the operator has a schema.
 */
export function verify(model: Model): readonly string[] {
  const faults: string[] = [];
  if (model.graph.parent !== undefined) faults.push("The main graph is inside a node.");
  const nodes = new Set<Node>();
  for (const node of allNodes(model.graph)) nodes.add(node);
  faults.push(...flowFaults(model.graph, new Set(), ""));
  for (const graph of allGraphs(model.graph)) {
    faults.push(...nameFaults(graph));
    for (const value of graph.values())
      faults.push(...linkFaults(value, nodes), ...storedFaults(value), ...roleFaults(value));
    for (const node of graph.nodes()) faults.push(...nodeLinkFaults(node), ...operatorFaults(node, model.opsets));
  }
  return faults;
}

/** Throws E_MODEL for the first violation that `verify` finds and that `knownFaults` does not list. */
export function assertValid(model: Model, knownFaults: readonly string[] = []): void {
  const faults = verify(model).filter((fault) => !knownFaults.includes(fault));
  const [first] = faults;
  if (first === undefined) return;
  throw modelError(
    first,
    faults.length === 1 ? {} : { hint: `${faults.length - 1} more: ${faults.slice(1, 5).join(" ")}` },
  );
}

/** Checks that values exist before their use. `visible` are the outer values that exist at the start of the graph. */
function flowFaults(graph: Graph, visible: ReadonlySet<Value>, place: string): string[] {
  const faults: string[] = [];
  const availableValues = new Set(visible);
  for (const input of graph.inputs) availableValues.add(input);
  for (const value of graph.values()) if (isStored(value)) availableValues.add(value);
  for (const node of graph.nodes()) {
    for (const [index, input] of node.inputs.entries()) {
      if (input === undefined || availableValues.has(input)) continue;
      const reason =
        input.graph.ownValue(input.name) !== input
          ? "is no longer in the model"
          : input.producer === undefined
            ? "is neither an input, nor stored, nor produced"
            : "is used before it is produced";
      faults.push(`${nodeText(node)}: input ${index}, "${input.name}", ${reason}.`);
    }
    for (const inner of subgraphs(node)) {
      if (inner.parent !== node)
        faults.push(`${nodeText(node)}: its subgraph "${inner.name}" belongs to another node.`);
      faults.push(...flowFaults(inner, availableValues, ` of the graph in ${nodeText(node)}`));
    }
    for (const output of node.outputs) if (output !== undefined) availableValues.add(output);
  }
  for (const output of graph.outputs) {
    if (output.graph !== graph) {
      faults.push(`Output "${output.name}"${place} is a value of an outer graph: put an Identity between them.`);
    } else if (!availableValues.has(output)) {
      faults.push(`Output "${output.name}"${place} is neither an input, nor stored, nor produced.`);
    }
  }
  return faults;
}

function isStored({ tensor, foreign }: Value): boolean {
  return tensor !== undefined || foreign?.sparse !== undefined;
}

function nameFaults(graph: Graph): string[] {
  const faults: string[] = [];
  for (const value of graph.values()) {
    if (value.name === "") faults.push("A value has no name.");
    if (graph.ownValue(value.name) !== value) faults.push(`"${value.name}" is not found under its name.`);
    if (graph.parent !== undefined && graph.reads(graph.parent.graph.value(value.name))) {
      faults.push(
        `"${value.name}" in the graph in ${nodeText(graph.parent)} hides a value of the same name around it.`,
      );
    }
  }
  const seen = new Set<string>();
  for (const { name } of graph.nodes()) {
    if (name !== "" && seen.has(name)) faults.push(`Two nodes are called "${name}".`);
    seen.add(name);
  }
  return faults;
}

function linkFaults(value: Value, nodes: ReadonlySet<Node>): string[] {
  const faults: string[] = [];
  const { name, producer } = value;
  if (producer !== undefined) {
    if (!nodes.has(producer)) faults.push(`"${name}" is produced by ${nodeText(producer)}, which is not in the model.`);
    if (!producer.outputs.includes(value))
      faults.push(`"${name}" is not an output of ${nodeText(producer)}, its producer.`);
    if (isStored(value)) faults.push(`"${name}" is stored and produced by ${nodeText(producer)}.`);
    if (value.graph.isInput(value)) faults.push(`"${name}" is an input and produced by ${nodeText(producer)}.`);
  }
  const inputsByNode = new Map<Node, Set<number>>();
  for (const { node, input } of value.uses) {
    if (!nodes.has(node)) faults.push(`"${name}" is used by ${nodeText(node)}, which is not in the model.`);
    if (node.inputs[input] !== value)
      faults.push(`"${name}" is not input ${input} of ${nodeText(node)}, as its uses say.`);
    const inputs = inputsByNode.get(node) ?? new Set();
    if (inputs.has(input)) faults.push(`"${name}" counts input ${input} of ${nodeText(node)} twice.`);
    inputsByNode.set(node, inputs.add(input));
  }
  return faults;
}

function nodeLinkFaults(node: Node): string[] {
  const faults: string[] = [];
  for (const [index, input] of node.inputs.entries()) {
    if (input === undefined) continue;
    const isListed = (use: Use): boolean => use.node === node && use.input === index;
    if (![...input.uses].some(isListed)) faults.push(`"${input.name}" does not list ${nodeText(node)} among its uses.`);
  }
  for (const output of node.outputs) {
    if (output === undefined) continue;
    if (output.producer !== node) faults.push(`"${output.name}" does not name ${nodeText(node)} as its producer.`);
    if (output.graph !== node.graph)
      faults.push(`${nodeText(node)} produces "${output.name}", which belongs to another graph.`);
  }
  return faults;
}

function storedFaults({ name, tensor, type }: Value): string[] {
  if (tensor === undefined || type === undefined) return [];
  const { dims } = type;
  const fits =
    dims === undefined ||
    (dims.length === tensor.dims.length &&
      dims.every((dim, axis) => typeof dim !== "number" || dim === tensor.dims[axis]));
  if (type.type === tensor.type && fits) return [];
  return [`"${name}" is declared ${type.type}${dimsText(dims)}, but ${tensor.type}${dimsText(tensor.dims)} is stored.`];
}

function roleFaults(value: Value): string[] {
  const { name, role, producer } = value;
  if (role === undefined) return [];
  switch (role.kind) {
    case "state":
      return [];
    case "straight-through":
      if (producer === undefined) return [`"${name}" is straight-through, but no node produces it.`];
      return role.low !== undefined && role.high !== undefined && role.low > role.high
        ? [`"${name}" is ${roleText(role)}: gradients pass between two bounds of which the lower is above the upper.`]
        : [];
    case "tied":
      return [...storageFaults(value), ...tiedFaults(value, role)];
    default:
      return storageFaults(value);
  }
}

function storageFaults({ name, role, tensor, graph }: Value): string[] {
  if (role === undefined || tensor !== undefined || graph.inputs.some((input) => input.name === name)) return [];
  return [`"${name}" is a ${role.kind}, but neither stored nor an input.`];
}

function tiedFaults(value: Value, role: Extract<Value["role"], { kind: "tied" }>): string[] {
  const claim = `"${value.name}" is ${roleText(role)}`;
  const target = value.graph.value(role.name);
  if (target === undefined) return [`${claim}, which does not exist.`];
  if (target === value) return [`${claim}: to itself.`];
  if (target.role?.kind === "tied") return [`${claim}, which is itself tied.`];
  const ownDims = value.type?.dims;
  const targetDims = target.type?.dims;
  if (ownDims === undefined || targetDims === undefined) return [];
  const expectedDims = role.transposed ? [...targetDims.slice(0, -2), ...targetDims.slice(-2).reverse()] : targetDims;
  return dimsText(ownDims) === dimsText(expectedDims)
    ? []
    : [`${claim}, but has the dimensions ${dimsText(ownDims)}, expected ${dimsText(expectedDims)}.`];
}

function operatorFaults(node: Node, opsets: ReadonlyMap<string, number>): string[] {
  const { domain, op, attributes } = node;
  const isStandard = domain === "";
  const version = opsets.get(domain);
  if (version === undefined)
    return [`${nodeText(node)}: the model imports no operator set "${isStandard ? "ai.onnx" : domain}".`];
  // Operators of other domains can be functions or known to a custom runtime.
  if (!isStandard && schemasOf(domain, op).length === 0) return [];
  const operator = checkForm(domain, op, version, {
    inputs: node.inputs,
    outputs: node.outputs,
    attributes: attributes.keys(),
  });
  if (operator instanceof Miss) return [`${nodeText(node)}: ${operator.reason}`];
  const faults: string[] = [];
  for (const [name, { kind }] of attributes) {
    const expectedKind = operator.attributes.get(name);
    if (expectedKind !== kind && expectedKind !== "opaque" && kind !== "opaque") {
      faults.push(`${nodeText(node)}: attribute ${name} is of kind ${kind}, expected ${expectedKind}.`);
    }
  }
  return faults;
}
