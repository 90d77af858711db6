/** What an option schema says about names: valibot keeps its declarations as plain properties. */
import type * as v from "valibot";

interface SchemaNode {
  readonly wrapped?: SchemaNode;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly options?: readonly unknown[];
  readonly item?: SchemaNode;
  /** Of a record: what it has under each name. */
  readonly value?: SchemaNode;
}

/** The names of the options that an object schema accepts at a path inside it; a union accepts those of its members. */
export function namesAt(schema: v.GenericSchema, path: readonly (string | number)[] = []): readonly string[] {
  return [...new Set(nodesAt(schema, path).flatMap((node) => Object.keys(node.entries ?? {})))];
}

/** Whether one of the schemas of what an option takes is such a one. */
export function takes(schema: v.GenericSchema, name: string, is: (schema: object) => boolean): boolean {
  return nodesAt(schema, [name]).some(is);
}

function nodesAt(schema: v.GenericSchema, path: readonly (string | number)[]): readonly SchemaNode[] {
  let nodes = open(schema as SchemaNode);
  for (const key of path) {
    nodes = nodes.flatMap((node) => {
      const inner = typeof key === "number" ? node.item : (node.entries?.[key] ?? node.value);
      return inner === undefined ? [] : open(inner);
    });
  }
  return nodes;
}

/** A schema and what it stands for: what it wraps, and the members of a union. */
function open(node: SchemaNode): SchemaNode[] {
  const inner = [...(node.wrapped === undefined ? [] : [node.wrapped]), ...(node.options ?? []).filter(isNode)];
  return [node, ...inner.flatMap(open)];
}

function isNode(value: unknown): value is SchemaNode {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "schema";
}
