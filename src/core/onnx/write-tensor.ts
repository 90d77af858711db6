/** Writes tensors (TensorProto): those of the opened file in their original encoding, new ones as raw bytes or strings. */
import { bytesOf, type Dense, type Role, type Tensor, typeCodes } from "#graph";
import { entryFields, tensorFields as f } from "./field-numbers.ts";
import { writeMetadata } from "./metadata.ts";
import { originOf } from "./origin.ts";
import type { Piece, Writer } from "./writer.ts";

export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** Fields of a TensorProto besides type, dimensions and elements. */
export interface TensorAttachments {
  readonly name?: string;
  readonly doc?: string | undefined;
  readonly metadata?: ReadonlyMap<string, string>;
  readonly role?: Role | undefined;
  readonly place?: ExternalPlace | undefined;
  readonly strings: ReadonlyMap<Tensor, Dense<"string">>;
}

export function writeTensor(writer: Writer, tensor: Tensor, attachments: TensorAttachments): void {
  const { name, place } = attachments;
  for (const dim of tensor.dims) writer.integer(f.dims, dim);
  writer.integer(f.type, typeCodes[tensor.type]);
  const pieces = place === undefined ? originOf(tensor)?.pieces : undefined;
  for (const { number, piece } of pieces ?? []) if (number < f.name) writer.field(number, piece);
  if (pieces === undefined && tensor.type === "string") {
    for (const text of attachments.strings.get(tensor)?.data ?? []) writer.text(f.stringData, text);
  }
  if (name !== undefined) writer.text(f.name, name);
  for (const { number, piece } of pieces ?? []) if (number > f.name) writer.field(number, piece);
  if (pieces === undefined && place === undefined && tensor.type !== "string")
    writer.piece(f.rawData, rawPiece(tensor));
  if (attachments.doc !== undefined) writer.text(f.doc, attachments.doc);
  if (place !== undefined) writeExternal(writer, place);
  writeMetadata(writer, f.metadata, attachments.metadata ?? new Map(), attachments.role);
}

function writeExternal(writer: Writer, { location, offset, length }: ExternalPlace): void {
  const entries = { location, offset: String(offset), length: String(length) };
  for (const [key, value] of Object.entries(entries)) {
    writer.message(f.externalData, (entry) => {
      entry.text(entryFields.key, key);
      entry.text(entryFields.value, value);
    });
  }
  writer.integer(f.location, 1);
}

/** Returns a tensor's raw bytes: a file range, bytes in memory, or a function that computes them. */
export function rawPiece(tensor: Tensor): Piece {
  if (tensor.stored !== undefined) return tensor.stored;
  if (tensor.small !== undefined && tensor.small.type !== "string") return bytesOf(tensor.small);
  return {
    size: tensor.bytes,
    async produce() {
      const dense = await tensor.read();
      if (dense.type === "string") throw new Error("internal: strings have no raw bytes");
      return bytesOf(dense);
    },
    ...(tensor.blocks && { blocks: tensor.blocks }),
  };
}
