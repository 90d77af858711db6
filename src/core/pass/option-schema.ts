/** Reads option schemas. Valibot stores declarations as plain properties. */
import * as v from "valibot";
import { groupBy } from "#graph";
import type { FlagMetadata } from "./options.ts";

export interface SchemaNode {
  readonly type: string;
  readonly wrapped?: SchemaNode;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly options?: readonly unknown[];
  readonly item?: SchemaNode;
  readonly items?: readonly SchemaNode[];
  readonly literal?: unknown;
  readonly value?: SchemaNode;
  readonly pipe?: readonly PipeItem[];
}

export interface PipeItem {
  readonly kind: string;
  readonly type: string;
  readonly description?: string;
  readonly requirement?: unknown;
  readonly pipe?: readonly PipeItem[];
  readonly metadata?: FlagMetadata;
}

/** Returns the entries of an object schema at a path, for a union those of its members. */
export function entriesAt(
  schema: v.GenericSchema,
  path: readonly (string | number)[] = [],
): ReadonlyMap<string, readonly SchemaNode[]> {
  const entries = nodesAt(schema, path).flatMap((node) => Object.entries(node.entries ?? {}));
  const groups = groupBy(entries, ([name]) => name);
  return new Map([...groups].map(([name, entriesOfName]) => [name, entriesOfName.map(([, entry]) => entry)]));
}

export function namesAt(schema: v.GenericSchema, path: readonly (string | number)[] = []): readonly string[] {
  return [...entriesAt(schema, path).keys()];
}

/** Returns a schema without some options. Checks that concern several options stay. */
export function omitOptions(schema: v.GenericSchema, names: readonly string[]): v.GenericSchema {
  const { pipe: [object, ...checks] = [], entries = {} } = schema as SchemaNode;
  if (object !== undefined)
    return v.pipe(omitOptions(object as v.GenericSchema, names), ...(checks as v.GenericPipeAction[]));
  const keptEntries = Object.entries(entries).filter(([name]) => !names.includes(name));
  return Object.assign({}, schema, { entries: Object.fromEntries(keptEntries) });
}

/** Returns which numbers an option accepts: any, or integers only ("whole"). */
export function numbersAt(schema: v.GenericSchema, path: readonly (string | number)[]): "any" | "whole" | undefined {
  const numbers = nodesAt(schema, path).filter(({ type }) => type === "number");
  if (numbers.length === 0) return undefined;
  return numbers.some(isIntegerSchema) ? "whole" : "any";
}

export function isIntegerSchema({ pipe = [] }: Pick<SchemaNode, "pipe">): boolean {
  return pipe.some((part) => part.type === "integer" || isIntegerSchema(part));
}

/** Returns the advice for words that the option does not accept, by word. */
export function insteadAt(
  schema: v.GenericSchema,
  path: readonly (string | number)[],
): Readonly<Record<string, string>> {
  const parts = nodesAt(schema, path).flatMap(({ pipe = [] }) => pipe);
  return Object.assign({}, ...parts.map(({ metadata }) => metadata?.instead));
}

/** Returns the schemas of an option at a path, including wrapped schemas and union members. */
export function nodesAt(schema: v.GenericSchema, path: readonly (string | number)[]): readonly SchemaNode[] {
  let nodes = flattenSchema(schema as SchemaNode);
  for (const key of path) {
    nodes = nodes.flatMap((node) => {
      const inner = typeof key === "number" ? node.item : (node.entries?.[key] ?? node.value);
      return inner === undefined ? [] : flattenSchema(inner);
    });
  }
  return nodes;
}

export function flattenSchema(node: SchemaNode): SchemaNode[] {
  const inner = [...(node.wrapped === undefined ? [] : [node.wrapped]), ...(node.options ?? []).filter(isSchema)];
  return [node, ...inner.flatMap(flattenSchema)];
}

function isSchema(value: unknown): value is SchemaNode {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "schema";
}
