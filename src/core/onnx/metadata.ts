/** Reads and writes metadata of models, nodes and values, with their roles, and reads opset imports. */
import { defaultDomain, noMetadata, parseRole, type Role, roleKey, roleText } from "#graph";
import { entryFields, opsetFields } from "./field-numbers.ts";
import { type Field, integerOf, subfieldsOf, textOf } from "./fields.ts";
import type { Writer } from "./writer.ts";

export function readEntry(field: Field): readonly [key: string, value: string] {
  const parts = subfieldsOf(field);
  return [textOf(parts, entryFields.key), textOf(parts, entryFields.value)];
}

export function readMetadata(
  fields: readonly Field[],
): readonly [metadata: ReadonlyMap<string, string>, role: Role | undefined] {
  if (fields.length === 0) return [noMetadata, undefined];
  const metadata = new Map<string, string>();
  let role: Role | undefined;
  for (const field of fields) {
    const [key, value] = readEntry(field);
    const parsedRole = key === roleKey ? parseRole(value) : undefined;
    if (parsedRole === undefined) metadata.set(key, value);
    else role = parsedRole;
  }
  return [metadata, role];
}

export function writeMetadata(
  writer: Writer,
  number: number,
  metadata: ReadonlyMap<string, string>,
  role?: Role | undefined,
): void {
  if (metadata.size === 0 && role === undefined) return;
  const entries = [...metadata];
  if (role !== undefined) entries.push([roleKey, roleText(role)]);
  for (const [key, value] of entries) {
    writer.message(number, (entry) => {
      entry.text(entryFields.key, key);
      entry.text(entryFields.value, value);
    });
  }
}

export function readOpset(field: Field): readonly [domain: string, version: number] {
  const parts = subfieldsOf(field);
  return [defaultDomain(textOf(parts, opsetFields.domain)), integerOf(parts, opsetFields.version)];
}
