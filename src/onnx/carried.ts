/** Fields that are read as bytes and written back. */
import type { Field } from "./fields.ts";
import { malformed } from "./wire.ts";

/** The fields as one run of bytes, tags included; undefined if there are none. */
export function joinCarried(fields: readonly Field[]): Uint8Array | undefined {
  if (fields.length === 0) return undefined;
  const joined = new Uint8Array(fields.reduce((length, field) => length + field.end - field.from, 0));
  let length = 0;
  for (const field of fields) {
    if (field.whole === undefined) throw malformed(field.from, `field ${field.number} is far too long`);
    joined.set(field.whole, length);
    length += field.whole.byteLength;
  }
  return joined;
}
