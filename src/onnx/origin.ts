/**
 * How things stood in the file. Types and attributes are immutable and shared by copies of a graph, so what is still the same object is
 * written back as the bytes it was read from: denotations, doc strings, packed lists and fields that Pith does not know survive.
 */
import type { Attribute, ValueType } from "../graph/graph.ts";

export interface Origin {
  /** The whole message (TypeProto, AttributeProto) in wire format. */
  readonly whole?: Uint8Array;
  /** Fields beside the value, where the value itself is not in memory or may change. */
  readonly carried?: Uint8Array;
  /** The name that an attribute had. */
  readonly name?: string;
}

const origins = new WeakMap<ValueType | Attribute, Origin>();

export function setOrigin(thing: ValueType | Attribute, origin: Origin): void {
  origins.set(thing, origin);
}

export function originOf(thing: ValueType | Attribute): Origin | undefined {
  return origins.get(thing);
}
