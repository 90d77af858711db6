/**
 * How things stood in the file. Types, attributes and tensors are immutable and shared by copies of a graph, so what is still the same object is
 * written back as the bytes it was read from: denotations, doc strings, packed lists and fields that Pith does not know survive.
 */
import type { Attribute, ValueType } from "../graph/graph.ts";
import type { StoredBytes, Tensor } from "../tensor/types.ts";

export interface Origin {
  /** The whole message (TypeProto, AttributeProto) in wire format. */
  readonly whole?: Uint8Array;
  /** Fields beside the value, where the value itself is not in memory or may change; of a tensor all but dimensions, type and data. */
  readonly carried?: Uint8Array | undefined;
  readonly name?: string;
  /** The data fields of a tensor, tags included; undefined where its elements lie in another file. */
  readonly pieces?: readonly DataPiece[] | undefined;
}

export interface DataPiece {
  readonly number: number;
  readonly piece: Uint8Array | StoredBytes;
}

const origins = new WeakMap<ValueType | Attribute | Tensor, Origin>();

export function setOrigin(thing: ValueType | Attribute | Tensor, origin: Origin): void {
  origins.set(thing, origin);
}

export function originOf(thing: ValueType | Attribute | Tensor): Origin | undefined {
  return origins.get(thing);
}
