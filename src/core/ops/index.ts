/** Finds the definition of an operator: in the registry of Pith, or among operators that users added to a model. */
import { type Model, type Node, PithError } from "#graph";
import type { Op } from "./define.ts";
import * as families from "./families.ts";

/** Operators by domain and name. A model can have a registry of custom operators (`addOperators`). */
class Registry {
  readonly #entries = new Map<string, Map<string, Op>>();

  constructor(entries: Iterable<Op>) {
    for (const op of entries) {
      const { domain, name } = op;
      const definitions = this.#entries.get(domain) ?? new Map<string, Op>();
      if (definitions.has(name)) throw new PithError("E_NAME", `Operator ${domain}/${name} is defined twice.`);
      this.#entries.set(domain, definitions.set(name, op));
    }
  }

  find(domain: string, name: string): Op | undefined {
    return this.#entries.get(domain)?.get(name);
  }

  with(...entries: readonly Op[]): Registry {
    return new Registry([...this, ...entries]);
  }

  *[Symbol.iterator](): Generator<Op, void, undefined> {
    for (const definitions of this.#entries.values()) yield* definitions.values();
  }
}

export const operators = new Registry(
  Object.values(families).flatMap((family) => Object.values<Op | readonly Op[]>(family).flat()),
);

/**
 * Adds operators to a model, its copies and its parts. They take precedence over Pith's definitions of the same name.
 * A model function of the same name is left unchanged for the runtime. Definitions are not saved with the model.
 * @throws PithError E_NAME if an operator is added twice, also in separate calls.
 *
 * @example
 * const gate = defineOp({
 *   domain: "my.company",
 *   name: "Gate",
 *   infer: (_, { inputs: [x] }) => [x],
 *   axes: new Miss("channels stay"),
 *   lower: (_, emit, [x]) => [emit.Mul([x, emit.Sigmoid([x])])],
 * });
 * addOperators(model, gate);
 */
export function addOperators({ graph }: Model, ...entries: readonly Op[]): void {
  graph.operators = (graph.operators instanceof Registry ? graph.operators : new Registry([])).with(...entries);
}

export function entryOf(node: Node): Op | undefined {
  return ownEntryOf(node) ?? operators.find(node.domain, node.op);
}

export function ownEntryOf({ graph, domain, op }: Node): Op | undefined {
  return graph.operators instanceof Registry ? graph.operators.find(domain, op) : undefined;
}
