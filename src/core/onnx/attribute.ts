/** Reads and writes attributes of nodes (AttributeProto). */
import { type Attribute, Graph, modelError, type Node, type Tensor, viewOf } from "#graph";
import { attributeTypes, attributeFields as f } from "./field-numbers.ts";
import { eachVarint, type Field, fixedBytes, integerOf, isLoaded, joinCarried, payload, textOf } from "./fields.ts";
import { originOf, setOrigin } from "./origin.ts";
import type { Reading, Writing } from "./reading.ts";
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
  const fields = await file.fieldsInside(message);
  const name = textOf(fields, f.name);
  if (name === "") throw modelError(`${place}: an attribute has no name.`);
  const kind = fields.some((field) => field.number === f.reference)
    ? undefined
    : kindOf(integerOf(fields, f.type), fields);
  if (kind === undefined) return [name, { kind: "opaque", value: payload(await file.load(message)) }];
  const values = fields.filter((field) => field.number === f[kind]);
  const attribute = await readValue(reading, kind, values, node, depth, `${place}, attribute "${name}"`);
  if (kind === "graph" || kind === "graphs" || !isLoaded(message)) {
    // The message cannot be written back as a whole: graphs can be edited, and a message can be too long to be in memory.
    const readNumbers = new Set<number>([f.name, f.type, f[kind]]);
    const otherFields = fields.filter((field) => !readNumbers.has(field.number));
    const carriedFields = joinCarried(await Promise.all(otherFields.map((field) => file.load(field))));
    if (carriedFields === undefined) return [name, attribute];
    // Attributes other than graphs are immutable, so `origin.ts` can map them to their fields.
    if (attribute.kind === "graph" || attribute.kind === "graphs")
      return [name, { ...attribute, unknown: carriedFields }];
    setOrigin(attribute, { carried: carriedFields });
  } else setOrigin(attribute, { message: payload(message), name });
  return [name, attribute];
}

/** Before IR version 2, files omit the type, so the kind is that of the field that the message contains. */
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
  const readTensors = async (): Promise<Tensor[]> => {
    const tensors: Tensor[] = [];
    for (const field of values)
      tensors.push((await readTensor(file, await file.fieldsInside(field), external, place)).tensor);
    return tensors;
  };
  const readGraphs = async (): Promise<Graph[]> => {
    const graphs: Graph[] = [];
    for (const field of values) {
      const graph = new Graph(node);
      await reading.graph(await file.fieldsInside(field), graph, depth + 1);
      graphs.push(graph);
    }
    return graphs;
  };
  const loadValues = async (): Promise<Field[]> => Promise.all(values.map((field) => file.load(field)));
  const throwMissing = (): never => {
    throw modelError(`${place}: it has no value.`);
  };
  switch (kind) {
    case "float":
      return { kind, value: floats(await loadValues()).at(-1) ?? 0 };
    case "int":
      return { kind, value: integers(await loadValues()).at(-1) ?? 0 };
    case "string":
      return { kind, value: strings(await loadValues()).at(-1) ?? "" };
    case "tensor":
      return { kind, value: (await readTensors()).at(-1) ?? throwMissing() };
    case "graph":
      return { kind, value: values.length > 1 ? throwMissing() : ((await readGraphs())[0] ?? throwMissing()) };
    case "floats":
      return { kind, value: floats(await loadValues()) };
    case "ints":
      return { kind, value: integers(await loadValues()) };
    case "strings":
      return { kind, value: strings(await loadValues()) };
    case "tensors":
      return { kind, value: await readTensors() };
    case "graphs":
      return { kind, value: await readGraphs() };
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
  if (origin?.message !== undefined && origin.name === name) {
    writer.bytes(number, origin.message);
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
