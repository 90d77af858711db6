/** The original encoding of immutable types, attributes and tensors: unchanged objects are written back byte for byte, with unknown fields. */
import type { Attribute, ValueType } from "../graph/graph.ts";
import type { StoredBytes, Tensor } from "../tensor/types.ts";

export interface Origin {
  readonly whole?: Uint8Array;
  /** Fields besides the value, if the value can change or is not in memory; for a tensor, all but dimensions, type and data. */
  readonly carried?: Uint8Array | undefined;
  readonly name?: string;
  /** The data fields of a tensor with tags; undefined for external data. */
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
