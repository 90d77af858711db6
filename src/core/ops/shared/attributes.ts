/** Reads attributes of nodes, and settings that are an attribute or an input, depending on the opset. */
import { type Attribute, type DataType, modelError, toInteger, typeOfCode } from "#graph";
import type { Operand, Site } from "../define.ts";

const kindNames = {
  int: "an integer",
  ints: "integers",
  float: "a float",
  floats: "floats",
  string: "a string",
  strings: "strings",
};

type Values = { readonly [A in Attribute as A["kind"]]: A["value"] };
type Kind = keyof typeof kindNames;

function readAttribute<K extends Kind>(site: Site, name: string, kind: K): Values[K] | undefined {
  const attribute = site.attribute(name);
  if (attribute === undefined || hasKind(attribute, kind)) return attribute?.value;
  throw modelError(`attribute "${name}" is ${kindNames[kind]}, got ${attribute.kind}.`);
}

function hasKind<K extends Kind>(
  attribute: { readonly kind: string; readonly value: unknown },
  kind: K,
): attribute is { readonly kind: K; readonly value: Values[K] } {
  return attribute.kind === kind;
}

export function readInteger<D extends number | undefined>(site: Site, name: string, defaultValue: D): number | D {
  const value = readAttribute(site, name, "int");
  return value === undefined ? defaultValue : toInteger(value);
}

export function readFlag(site: Site, name: string, defaultValue = false): boolean {
  return readInteger(site, name, defaultValue ? 1 : 0) !== 0;
}

export function readIntegers(site: Site, name: string): readonly number[] | undefined {
  return readAttribute(site, name, "ints")?.map(toInteger);
}

export function readFloat<D extends number | undefined>(site: Site, name: string, defaultValue: D): number | D {
  return readAttribute(site, name, "float") ?? defaultValue;
}

export function readFloats(site: Site, name: string): readonly number[] | undefined {
  return readAttribute(site, name, "floats");
}

export function readString(site: Site, name: string, defaultValue: string): string {
  return decodeText(readAttribute(site, name, "string") ?? defaultValue);
}

export function readStrings(site: Site, name: string): readonly string[] | undefined {
  return readAttribute(site, name, "strings")?.map(decodeText);
}

/** Decodes a string attribute: text, or bytes read as UTF-8. */
export const decodeText = (value: string | Uint8Array): string =>
  typeof value === "string" ? value : new TextDecoder().decode(value);

/** Returns the integers of an input; undefined if an element is computed at run time or symbolic. */
export function constantIntegersOf(operand: Operand | undefined): readonly number[] | undefined {
  const elements = operand?.elements;
  return elements?.every((element) => typeof element === "number") ? (elements as readonly number[]) : undefined;
}

/** Reads integers that are an attribute in old opsets and an input in new ones: "runtime" if computed at run time. */
export function readAttributeOrInput(
  site: Site,
  name: string,
  input: number,
): { readonly known: readonly number[] } | "runtime" | undefined {
  const operand = site.inputs[input];
  const values = operand === undefined ? readIntegers(site, name) : constantIntegersOf(operand);
  if (values !== undefined) return { known: values };
  return operand === undefined ? undefined : "runtime";
}

/** Converts a negative axis, which counts from the end. @throws PithError E_MODEL if the axis is outside the rank. */
export function wrapAxis(axis: number, rank: number): number {
  const position = axis < 0 ? axis + rank : axis;
  if (position < 0 || position >= rank) throw modelError(`axis ${axis} lies outside a tensor of rank ${rank}.`);
  return position;
}

/** Returns the element type that an integer attribute names by its ONNX code. */
export function readElementType(site: Site, name: string, defaultType?: DataType): DataType | undefined {
  const code = readInteger(site, name, undefined);
  return code === undefined ? defaultType : typeOfCode(code);
}
