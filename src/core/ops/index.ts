/** All operator definitions: the only file that imports every family. */

import type { Model, Node } from "../graph/index.ts";
import type { Op } from "./define.ts";
import * as families from "./families.ts";
import { Registry } from "./registry.ts";

export const operators = new Registry(
  Object.values(families).flatMap((family) => Object.values<Op | readonly Op[]>(family).flat()),
);

/**
 * Adds operators to a model, its copies and its parts. They take precedence over Pith's own definitions.
 * A model function of the same name stays for the runtime. Definitions are not saved.
 * @throws PithError E_NAME if two of the entries are for the same operator.
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

/** Returns the definition of a node's operator; undefined if it is unknown. */
export function entryOf(node: Node): Op | undefined {
  return ownEntryOf(node) ?? operators.find(node.domain, node.op);
}

/** Returns the definition that was added to the node's model. */
export function ownEntryOf({ graph, domain, op }: Node): Op | undefined {
  return graph.operators instanceof Registry ? graph.operators.find(domain, op) : undefined;
}

export type {
  Affine,
  AxisEnd,
  AxisLink,
  AxisRule,
  Body,
  Bound,
  Chain,
  ChainPart,
  ChannelCut,
  CodedInput,
  Contribution,
  Facet,
  FacetName,
  GradientScope,
  Inferred,
  NodeChange,
  Op,
  OpDef,
  Operand,
  PackedWeight,
  QuantizeRule,
  Restored,
  Settled,
  Site,
  WeightRole,
} from "./define.ts";
export { defineOp } from "./define.ts";
export { Registry } from "./registry.ts";
export { mistakenForIntegers } from "./shared/misses.ts";
