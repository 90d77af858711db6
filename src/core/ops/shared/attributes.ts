import { PithError } from "../../errors.ts";
import { toInteger } from "../../graph/graph.ts";
import { type DataType, typeOfCode } from "../../tensor/types.ts";
import type { Operand, Site } from "../define.ts";

export function integer(site: Site, name: string, byDefault: number): number {
  const attribute = site.attribute(name);
  if (attribute === undefined) return byDefault;
  if (attribute.kind !== "int") throw wrongKind(name, "an integer", attribute.kind);
  return toInteger(attribute.value);
}

export function integers(site: Site, name: string): readonly number[] | undefined {
  const attribute = site.attribute(name);
  if (attribute === undefined) return undefined;
  if (attribute.kind !== "ints") throw wrongKind(name, "integers", attribute.kind);
  return attribute.value.map(toInteger);
}

export function decimal(site: Site, name: string, byDefault: number): number {
  const attribute = site.attribute(name);
  if (attribute === undefined) return byDefault;
  if (attribute.kind !== "float") throw wrongKind(name, "a float", attribute.kind);
  return attribute.value;
}

export function decimals(site: Site, name: string): readonly number[] | undefined {
  const attribute = site.attribute(name);
  if (attribute === undefined) return undefined;
  if (attribute.kind !== "floats") throw wrongKind(name, "floats", attribute.kind);
  return attribute.value;
}

export function text(site: Site, name: string, byDefault: string): string {
  const attribute = site.attribute(name);
  if (attribute === undefined) return byDefault;
  if (attribute.kind !== "string") throw wrongKind(name, "a string", attribute.kind);
  return decoded(attribute.value);
}

export function texts(site: Site, name: string): readonly string[] | undefined {
  const attribute = site.attribute(name);
  if (attribute === undefined) return undefined;
  if (attribute.kind !== "strings") throw wrongKind(name, "strings", attribute.kind);
  return attribute.value.map(decoded);
}

const decoded = (value: string | Uint8Array): string =>
  typeof value === "string" ? value : new TextDecoder().decode(value);

/** Returns the integers of a constant input if all elements are known. */
export function constantIntegers(operand: Operand | undefined): readonly number[] | undefined {
  const elements = operand?.elements;
  return elements?.every((element) => typeof element === "number") ? (elements as readonly number[]) : undefined;
}

/** Reads integers that are an attribute in old opsets and an input in new ones; undefined if the node has neither. */
export function attributeOrInput(
  site: Site,
  name: string,
  input: number,
): { readonly known: readonly number[] } | "runtime" | undefined {
  const operand = site.inputs[input];
  if (operand !== undefined) {
    const known = constantIntegers(operand);
    return known === undefined ? "runtime" : { known };
  }
  const known = integers(site, name);
  return known === undefined ? undefined : { known };
}

/** Maps -1 to the last axis. @throws PithError E_MODEL beyond the rank. */
export function wrapAxis(axis: number, rank: number): number {
  const wrapped = axis < 0 ? axis + rank : axis;
  if (wrapped < 0 || wrapped >= rank)
    throw new PithError("E_MODEL", `axis ${axis} lies outside a tensor of rank ${rank}.`);
  return wrapped;
}

function wrongKind(name: string, expected: string, got: string): PithError {
  return new PithError("E_MODEL", `attribute "${name}" is ${expected}, got ${got}.`);
}

/** Returns the element type named by an integer attribute; undefined for an unknown code, or without attribute and default. */
export function elementType(site: Site, name: string, byDefault?: DataType): DataType | undefined {
  return site.attribute(name) === undefined ? byDefault : typeOfCode(integer(site, name, 0));
}
