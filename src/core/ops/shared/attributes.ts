/** Readers of a node's attributes and constant inputs. An attribute of another kind than expected throws E_MODEL. */
import { PithError } from "../../errors.ts";
import { type Attribute, toInteger } from "../../graph/graph.ts";
import { type DataType, typeOfCode } from "../../tensor/types.ts";
import type { Operand, Site } from "../define.ts";

const kinds = {
  int: "an integer",
  ints: "integers",
  float: "a float",
  floats: "floats",
  string: "a string",
  strings: "strings",
};

type Values = { readonly [A in Attribute as A["kind"]]: A["value"] };
type Kind = keyof typeof kinds;

function read<K extends Kind>(site: Site, name: string, kind: K): Values[K] | undefined {
  const attribute = site.attribute(name);
  if (attribute === undefined || hasKind(attribute, kind)) return attribute?.value;
  throw new PithError("E_MODEL", `attribute "${name}" is ${kinds[kind]}, got ${attribute.kind}.`);
}

function hasKind<K extends Kind>(
  attribute: { readonly kind: string; readonly value: unknown },
  kind: K,
): attribute is { readonly kind: K; readonly value: Values[K] } {
  return attribute.kind === kind;
}

export function integer<D extends number | undefined>(site: Site, name: string, byDefault: D): number | D {
  const value = read(site, name, "int");
  return value === undefined ? byDefault : toInteger(value);
}

/** Reads an integer attribute that stands for a boolean. */
export function flag(site: Site, name: string, byDefault = false): boolean {
  return integer(site, name, byDefault ? 1 : 0) !== 0;
}

export function integers(site: Site, name: string): readonly number[] | undefined {
  return read(site, name, "ints")?.map(toInteger);
}

export function decimal<D extends number | undefined>(site: Site, name: string, byDefault: D): number | D {
  return read(site, name, "float") ?? byDefault;
}

export function decimals(site: Site, name: string): readonly number[] | undefined {
  return read(site, name, "floats");
}

export function text(site: Site, name: string, byDefault: string): string {
  return decodeText(read(site, name, "string") ?? byDefault);
}

export function texts(site: Site, name: string): readonly string[] | undefined {
  return read(site, name, "strings")?.map(decodeText);
}

/** Decodes a string attribute: text, or arbitrary bytes read as UTF-8. */
export const decodeText = (value: string | Uint8Array): string =>
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
  const values = operand === undefined ? integers(site, name) : constantIntegers(operand);
  if (values !== undefined) return { known: values };
  return operand === undefined ? undefined : "runtime";
}

/** Maps -1 to the last axis. @throws PithError E_MODEL beyond the rank. */
export function wrapAxis(axis: number, rank: number): number {
  const wrapped = axis < 0 ? axis + rank : axis;
  if (wrapped < 0 || wrapped >= rank)
    throw new PithError("E_MODEL", `axis ${axis} lies outside a tensor of rank ${rank}.`);
  return wrapped;
}

/** Returns the element type named by an integer attribute; undefined for an unknown code, or without attribute and default. */
export function elementType(site: Site, name: string, byDefault?: DataType): DataType | undefined {
  const code = integer(site, name, undefined);
  return code === undefined ? byDefault : typeOfCode(code);
}
