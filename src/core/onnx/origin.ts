/** Maps immutable types, attributes and tensors to their bytes in the file, which the encoder writes back. */
import type { Attribute, StoredBytes, Tensor, ValueType } from "#graph";

export interface Origin {
  /** The message, if it can be written back unchanged. */
  readonly message?: Uint8Array;
  /** The unparsed fields of other messages. */
  readonly carried?: Uint8Array | undefined;
  readonly name?: string;
  /** The data fields of a tensor, with tags. */
  readonly pieces?: readonly DataPiece[] | undefined;
}

export interface DataPiece {
  readonly number: number;
  readonly piece: Uint8Array | StoredBytes;
}

const origins = new WeakMap<ValueType | Attribute | Tensor, Origin>();

export function setOrigin(element: ValueType | Attribute | Tensor, origin: Origin): void {
  origins.set(element, origin);
}

export function originOf(element: ValueType | Attribute | Tensor): Origin | undefined {
  return origins.get(element);
}
