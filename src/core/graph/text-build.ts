/**
 * Builds a graph from parsed text. Parsing comes first, because names can be used before their definition, and subgraphs must know their own names.
 */
import type { Tensor } from "../tensor/types.ts";
import type { Attribute } from "./elements.ts";
import { Graph, type Node, type Value, type ValueType } from "./graph.ts";
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

/** Builds graphs from syntax; the scanner only locates errors. */
export class GraphBuilder {
  readonly #scanner: Scanner;
  /** The names that each graph under construction defines: a name can be used before its line. */
  readonly #defined = new Map<Graph, ReadonlySet<string>>();

  constructor(scanner: Scanner) {
    this.#scanner = scanner;
  }

  build(syntax: GraphSyntax, graph: Graph): void {
    graph.name = syntax.name;
    this.#defined.set(graph, this.#definitions(syntax));
    for (const input of syntax.inputs) this.#describe(graph.addInput(input.name, input.type), input);
    for (const stored of syntax.stored) {
      this.#describe(graph.ownValue(stored.name) ?? graph.addValue(stored.name, stored.type), stored);
    }
    for (const node of syntax.nodes) this.#addNode(node, graph);
    for (const output of syntax.outputs) {
      const value = this.#resolve(output, graph);
      if (value.graph === graph) this.#describe(value, output);
      graph.addOutput(value);
    }
    // Inputs and outputs are listed with their types anyway.
    for (const value of graph.values()) {
      value.declared = value.type !== undefined && value.producer !== undefined && !graph.isOutput(value);
    }
  }

  #addNode(syntax: NodeSyntax, graph: Graph): void {
    const { op, domain, overload, name } = syntax;
    const inputs = syntax.inputs.map((input) => (input === undefined ? undefined : this.#resolve(input, graph)));
    const outputs = syntax.outputs.map((output) => output?.name);
    const node = graph.addNode({ op, domain, overload, name, inputs, outputs });
    for (const [index, output] of syntax.outputs.entries()) {
      const value = node.outputs[index];
      if (output !== undefined && value !== undefined) this.#describe(value, output);
    }
    for (const [attribute, value] of syntax.attributes)
      graph.setAttribute(node, attribute, this.#attribute(value, node));
  }

  #attribute(syntax: AttributeSyntax, node: Node): Attribute {
    const inner = (graphSyntax: GraphSyntax): Graph => {
      const graph = new Graph(node);
      this.build(graphSyntax, graph);
      return graph;
    };
    if (syntax.kind === "graph") return { kind: "graph", value: inner(syntax.value) };
    if (syntax.kind === "graphs") return { kind: "graphs", value: syntax.value.map(inner) };
    return syntax;
  }

  #describe(value: Value, declaration: Declaration): void {
    value.type = declaration.type ?? value.type;
    value.role = declaration.role ?? value.role;
    value.tensor = declaration.tensor ?? value.tensor;
  }

  #resolve(use: Name, graph: Graph): Value {
    for (let scope: Graph | undefined = graph; scope !== undefined; scope = scope.parent?.graph) {
      if (this.#defined.get(scope)?.has(use.name)) return scope.ownValue(use.name) ?? scope.addValue(use.name);
    }
    return this.#scanner.fail(`nothing is called "${use.name}"`, use.position);
  }

  #definitions(syntax: GraphSyntax): ReadonlySet<string> {
    const names = new Set<string>();
    const add = ({ name, position }: Name): void => {
      if (names.has(name)) this.#scanner.fail(`"${name}" is defined twice`, position);
      names.add(name);
    };
    syntax.inputs.forEach(add);
    const inputs = new Set(names);
    for (const stored of syntax.stored) if (!inputs.delete(stored.name)) add(stored);
    for (const node of syntax.nodes) for (const output of node.outputs) if (output !== undefined) add(output);
    return names;
  }
}
