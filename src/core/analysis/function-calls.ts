/** Infers calls of model functions. Calls with equal operands and attributes can share a result. */
import {
  type Graph,
  instantiate,
  type LocalFunction,
  Miss,
  type Model,
  type Node,
  objectId,
  unknownDimsIn,
} from "#graph";
import type { Inferred, Operand } from "../ops/entry.ts";
import type { ValueTypes } from "./value-types.ts";

/** The maximum depth of nested calls. */
const maxDepth = 50;
/** The number of nodes visited in function bodies after which no further call is inferred. */
const maxCallNodes = 50_000;

export class FunctionCalls {
  readonly #model: Model;
  readonly #types: ValueTypes;
  readonly #inferGraph: (body: Graph) => void;
  readonly #opsets = new Map<Graph, ReadonlyMap<string, number>>();
  readonly #active = new Set<LocalFunction>();
  /** Outputs of functions by function, attributes and operands. */
  readonly #results = new Map<string, readonly (Operand | undefined)[]>();
  /** Function bodies of calls with a data-dependent output size. */
  readonly #bodies = new Map<Node, Graph>();
  #visitedNodes = 0;

  constructor(model: Model, types: ValueTypes, inferGraph: (body: Graph) => void) {
    this.#model = model;
    this.#types = types;
    this.#inferGraph = inferGraph;
  }

  versionOf({ domain, graph }: Node): number {
    let root = graph;
    while (root.parent !== undefined) root = root.parent.graph;
    return (this.#opsets.get(root) ?? this.#model.opsets).get(domain) ?? 1;
  }

  countVisit(): void {
    if (this.#active.size > 0) this.#visitedNodes++;
  }

  infer(node: Node, local: LocalFunction): readonly (Inferred | undefined)[] | Miss {
    if (this.#active.has(local)) return new Miss("calls itself");
    if (this.#active.size >= maxDepth) return new Miss(`its calls are nested more than ${maxDepth} deep`);
    const inputs = this.#types.inputsOf(node);
    const operands = operandsText(inputs);
    const call = JSON.stringify([objectId(local), attributesText(node), operands]);
    const cachedResult = this.#results.get(call);
    if (cachedResult !== undefined) return cachedResult;
    if (this.#visitedNodes > maxCallNodes)
      return new Miss(
        `calls of functions expand to more than the ${maxCallNodes.toLocaleString("en")} nodes that are looked into`,
      );
    const body = this.#bodies.get(node) ?? instantiate(local, node);
    this.#opsets.set(body, local.opsets);
    body.inputs.forEach((value, index) => {
      this.#types.recordArgument(value, inputs[index]);
    });
    this.#active.add(local);
    try {
      this.#inferGraph(body);
    } finally {
      this.#active.delete(local);
    }
    const outputs = body.outputs.map(this.#types.operandOf);
    // A data-dependent size is specific to one call, so other calls cannot share it.
    const operandDims = unknownDimsIn(operands);
    if ([...unknownDimsIn(operandsText(outputs))].every((dim) => operandDims.has(dim)))
      this.#results.set(call, outputs);
    else this.#bodies.set(node, body);
    return outputs;
  }
}

function operandsText(operands: readonly (Operand | undefined)[]): string {
  return JSON.stringify(
    operands.map((operand) =>
      operand?.small === undefined ? operand : { ...operand, small: objectId(operand.small.data) },
    ),
  );
}

function attributesText({ attributes }: Node): string {
  return JSON.stringify(
    Array.from(attributes, ([name, attribute]) => {
      const { kind, value } = attribute;
      const isNumeric = kind === "int" || kind === "float" || kind === "ints" || kind === "floats";
      return [name, kind, isNumeric || typeof value === "string" ? String(value) : objectId(value)];
    }),
  );
}
