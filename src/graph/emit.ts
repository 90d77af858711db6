/**
 * Writing nodes: `emit.Conv([x, w], { strides: [2, 2] })` adds a node and returns its first output.
 * Attribute names and types come from the ONNX schema; what is emitted must be legal in the model's own operator set.
 */
import { PithError } from "../errors.ts";
import type { Dense } from "../tensor/types.ts";
import { inMemory } from "../tensor/dense.ts";
import type { Attribute } from "./attribute.ts";
import type { Graph, Node, Value } from "./graph.ts";
import type { Role } from "./role.ts";
import { type EmitAttributes, schema } from "./schema.generated.ts";

type OpName = keyof EmitAttributes & string;

export type Emit = {
  readonly [Op in OpName]: (inputs: readonly (Value | undefined)[], attributes?: EmitAttributes[Op]) => Value;
} & EmitTools;

export interface EmitTools {
  /** A node with several outputs; `outputs` counts them, or says which are wanted. */
  many<Op extends OpName>(
    op: Op,
    inputs: readonly (Value | undefined)[],
    attributes: EmitAttributes[Op] | undefined,
    outputs: number | readonly boolean[],
  ): readonly Value[];
  /** A stored tensor, named after `name`. */
  constant(tensor: Dense, name?: string, role?: Role): Value;
  /** Names the next node's (first) output. */
  named(name: string): Emit;
}

export interface EmitOptions {
  /** New nodes go before this one; at the end if absent. */
  readonly before?: Node;
  /** The pass that writes: recorded in the metadata of each node. */
  readonly by?: string;
  /** Called for each new node: shape inference. */
  readonly onNode?: (node: Node) => void;
  readonly opsets: ReadonlyMap<string, number>;
}
