import { PithError } from "../errors.ts";
import { type Attribute, Graph, type Node } from "../graph/graph.ts";
import { viewOf } from "../tensor/dense.ts";
import type { Tensor } from "../tensor/types.ts";
import { eachVarint, type Field, fixedBytes, integerOf, isLoaded, joinCarried, payload, textOf } from "./fields.ts";
import { originOf, setOrigin } from "./origin.ts";
import type { Reading, Writing } from "./reading.ts";
import { attributeTypes, attributeFields as f } from "./schema.ts";
import { readTensor } from "./tensor.ts";
import { decodeText } from "./wire.ts";
import { writeTensor } from "./write-tensor.ts";
import type { Writer } from "./writer.ts";

type Kind = keyof typeof attributeTypes;

const kinds = Object.keys(attributeTypes) as Kind[];
const kindOfType = new Map<number, Kind>(kinds.map((kind) => [attributeTypes[kind], kind]));
/** Reads an AttributeProto. Sparse tensors, types and references in functions become `opaque`. */
export async function readAttribute(
  reading: Reading,
  message: Field,
  node: Node,
  depth: number,
  place: string,
): Promise<readonly [name: string, attribute: Attribute]> {
  const { file } = reading;
  const fields = await file.inside(message);
  const name = textOf(fields, f.name);
  if (name === "") throw new PithError("E_MODEL", `${place}: an attribute has no name.`);
  const kind = fields.some((field) => field.number === f.reference)
    ? undefined
    : kindOf(integerOf(fields, f.type), fields);
  if (kind === undefined) return [name, { kind: "opaque", value: payload(await file.loaded(message)) }];
  const values = fields.filter((field) => field.number === f[kind]);
  const attribute = await readValue(reading, kind, values, node, depth, `${place}, attribute "${name}"`);
  if (kind === "graph" || kind === "graphs" || !isLoaded(message)) {
    // Graphs can change, and other values are not in memory, so only the remaining fields are carried.
    const readNumbers = new Set<number>([f.name, f.type, f[kind]]);
    const rest = fields.filter((field) => !readNumbers.has(field.number));
    const carried = joinCarried(await Promise.all(rest.map((field) => file.loaded(field))));
    if (carried === undefined) return [name, attribute];
    // Copies of a model share attributes other than graphs, so these remember the fields by object identity.
    if (attribute.kind === "graph" || attribute.kind === "graphs") return [name, { ...attribute, unknown: carried }];
    setOrigin(attribute, { carried });
  } else setOrigin(attribute, { whole: payload(message), name });
  return [name, attribute];
}

/** Returns the kind of an attribute. Before IR version 2, files omit the type, so the present field determines the kind. */
function kindOf(type: number, fields: readonly Field[]): Kind | undefined {
  if (type !== 0) return kindOfType.get(type);
  return kinds.find((kind) => fields.some((field) => field.number === f[kind]));
}

async function readValue(
  reading: Reading,
  kind: Kind,
  values: readonly Field[],
  node: Node,
  depth: number,
  place: string,
): Promise<Attribute> {
  const { file, external } = reading;
  const tensors = async (): Promise<Tensor[]> => {
    const read: Tensor[] = [];
    for (const field of values) read.push((await readTensor(file, await file.inside(field), external, place)).tensor);
    return read;
  };
  const graphs = async (): Promise<Graph[]> => {
    const read: Graph[] = [];
    for (const field of values) {
      const graph = new Graph(node);
      await reading.graph(await file.inside(field), graph, depth + 1);
      read.push(graph);
    }
    return read;
  };
  const loaded = async (): Promise<Field[]> => Promise.all(values.map((field) => file.loaded(field)));
  const missing = (): never => {
    throw new PithError("E_MODEL", `${place}: it has no value.`);
  };
  switch (kind) {
    case "float":
      return { kind, value: floats(await loaded()).at(-1) ?? 0 };
    case "int":
      return { kind, value: integers(await loaded()).at(-1) ?? 0 };
    case "string":
      return { kind, value: strings(await loaded()).at(-1) ?? "" };
    case "tensor":
      return { kind, value: (await tensors()).at(-1) ?? missing() };
    case "graph":
      return { kind, value: values.length > 1 ? missing() : ((await graphs())[0] ?? missing()) };
    case "floats":
      return { kind, value: floats(await loaded()) };
    case "ints":
      return { kind, value: integers(await loaded()) };
    case "strings":
      return { kind, value: strings(await loaded()) };
    case "tensors":
      return { kind, value: await tensors() };
    case "graphs":
      return { kind, value: await graphs() };
  }
}

function floats(fields: readonly Field[]): number[] {
  return fields.flatMap((field) => {
    const bytes = fixedBytes(field, 5);
    const view = viewOf(bytes);
    return Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getFloat32(4 * index, true));
  });
}

function integers(fields: readonly Field[]): (number | bigint)[] {
  const values: (number | bigint)[] = [];
  for (const field of fields) eachVarint(field, (cursor) => values.push(cursor.signed));
  return values;
}

function strings(fields: readonly Field[]): (string | Uint8Array)[] {
  return fields.map((field) => decodeText(payload(field)) ?? payload(field));
}

export function writeAttribute(
  writer: Writer,
  number: number,
  name: string,
  attribute: Attribute,
  writing: Writing,
): void {
  const origin = originOf(attribute);
  if (attribute.kind === "opaque") {
    writer.bytes(number, attribute.value);
    return;
  }
  if (origin?.whole !== undefined && origin.name === name) {
    writer.bytes(number, origin.whole);
    return;
  }
  writer.message(
    number,
    (message) => {
      message.text(f.name, name);
      writeValue(message, attribute, writing);
      message.integer(f.type, attributeTypes[attribute.kind]);
    },
    attribute.kind === "graph" || attribute.kind === "graphs" ? attribute.unknown : origin?.carried,
  );
}

function writeValue(writer: Writer, attribute: Exclude<Attribute, { kind: "opaque" }>, writing: Writing): void {
  const field = f[attribute.kind];
  switch (attribute.kind) {
    case "float":
    case "floats":
      for (const value of asList(attribute.value)) writer.float(field, value);
      break;
    case "int":
    case "ints":
      for (const value of asList(attribute.value)) writer.integer(field, value);
      break;
    case "string":
    case "strings":
      for (const value of attribute.kind === "string" ? [attribute.value] : attribute.value) {
        if (typeof value === "string") writer.text(field, value);
        else writer.bytes(field, value);
      }
      break;
    case "tensor":
    case "tensors":
      for (const value of asList(attribute.value)) {
        writer.message(
          field,
          (message) => writeTensor(message, value, { strings: writing.strings }),
          originOf(value)?.carried,
        );
      }
      break;
    case "graph":
    case "graphs":
      for (const value of asList(attribute.value)) {
        writer.message(field, (message) => writing.graph(message, value), value.unknown);
      }
      break;
  }
}

function asList<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}
