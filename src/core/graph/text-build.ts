/** Builds a graph from its parsed text, which can use names before it defines them. */
import type { Tensor } from "../tensor/types.ts";
import { Graph, type Value, type ValueType } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import type { Role } from "./role.ts";
import type { Scanner } from "./text-scan.ts";

export interface Name {
  readonly name: string;
  readonly position: number;
}

export interface Declaration extends Name {
  readonly type: ValueType | undefined;
  readonly role: Role | undefined;
  readonly tensor: Tensor | undefined;
}

export interface NodeSyntax {
  readonly kind: "node";
  readonly outputs: readonly (Declaration | undefined)[];
  readonly domain: string;
  readonly op: string;
  readonly overload: string;
  readonly name: string;
  readonly inputs: readonly (Name | undefined)[];
  readonly attributes: readonly (readonly [name: string, value: AttributeSyntax])[];
}

export type AttributeSyntax =
  | Exclude<Attribute, { kind: "graph" | "graphs" }>
  | { readonly kind: "graph"; readonly value: GraphSyntax }
  | { readonly kind: "graphs"; readonly value: readonly GraphSyntax[] };

export interface GraphSyntax {
  readonly name: string;
  readonly inputs: readonly Declaration[];
  readonly outputs: readonly Declaration[];
  readonly stored: readonly Declaration[];
  readonly nodes: readonly NodeSyntax[];
}

type Definitions = Map<Graph, ReadonlySet<string>>;

export function buildGraph(
  scanner: Scanner,
  syntax: GraphSyntax,
  graph: Graph,
  definitions: Definitions = new Map(),
): void {
  graph.name = syntax.name;
  definitions.set(graph, definitionsOf(scanner, syntax));
  for (const input of syntax.inputs) applyDeclaration(graph.addInput(input.name, input.type), input);
  for (const stored of syntax.stored)
    applyDeclaration(graph.ownValue(stored.name) ?? graph.addValue(stored.name, stored.type), stored);
  for (const node of syntax.nodes) addNode(scanner, node, graph, definitions);
  for (const output of syntax.outputs) {
    const value = resolveName(scanner, output, graph, definitions);
    if (value.graph === graph) applyDeclaration(value, output);
    graph.addOutput(value);
  }
  // Inputs and outputs are saved with their types.
  for (const value of graph.values())
    value.declared = value.type !== undefined && value.producer !== undefined && !graph.isOutput(value);
}

function addNode(scanner: Scanner, syntax: NodeSyntax, graph: Graph, definitions: Definitions): void {
  const inputs = syntax.inputs.map((input) => input && resolveName(scanner, input, graph, definitions));
  const { attributes, ...spec } = syntax;
  const node = graph.addNode({
    ...spec,
    inputs,
    outputs: syntax.outputs.map((output) => output?.name),
    attributes: {},
  });
  for (const [index, output] of syntax.outputs.entries()) {
    const value = node.outputs[index];
    if (output !== undefined && value !== undefined) applyDeclaration(value, output);
  }
  const buildSubgraph = (graphSyntax: GraphSyntax): Graph => {
    const subgraph = new Graph(node);
    buildGraph(scanner, graphSyntax, subgraph, definitions);
    return subgraph;
  };
  for (const [name, attribute] of attributes) {
    if (attribute.kind === "graph")
      graph.setAttribute(node, name, { kind: "graph", value: buildSubgraph(attribute.value) });
    else if (attribute.kind === "graphs")
      graph.setAttribute(node, name, { kind: "graphs", value: attribute.value.map(buildSubgraph) });
    else graph.setAttribute(node, name, attribute);
  }
}

function applyDeclaration(value: Value, { type, role, tensor }: Declaration): void {
  value.type = type ?? value.type;
  value.role = role ?? value.role;
  value.tensor = tensor ?? value.tensor;
}

function resolveName(scanner: Scanner, { name, position }: Name, graph: Graph, definitions: Definitions): Value {
  for (let scope: Graph | undefined = graph; scope !== undefined; scope = scope.parent?.graph)
    if (definitions.get(scope)?.has(name)) return scope.ownValue(name) ?? scope.addValue(name);
  return scanner.fail(`nothing is called "${name}"`, position);
}

function definitionsOf(scanner: Scanner, syntax: GraphSyntax): ReadonlySet<string> {
  const names = new Set<string>();
  const add = ({ name, position }: Name): void => {
    if (names.has(name)) scanner.fail(`"${name}" is defined twice`, position);
    names.add(name);
  };
  syntax.inputs.forEach(add);
  const inputs = new Set(names);
  for (const declaration of syntax.stored) if (!inputs.delete(declaration.name)) add(declaration);
  for (const node of syntax.nodes) for (const output of node.outputs) if (output !== undefined) add(output);
  return names;
}
