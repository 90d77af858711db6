/** Reads model-local functions (FunctionProto) as graphs. Saving writes the original bytes. */

import type { Attribute, ByteSource, LocalFunction, Node } from "#graph";
import { allNodes, concatBytes, defaultDomain, Graph, PithError } from "#graph";
import { bytesSource } from "#platform";
import { readAttribute } from "./attribute.ts";
import { attributeFields, functionFields as f, graphFields, nodeFields, valueInfoFields } from "./field-numbers.ts";
import { type Field, fieldText, lastField, payload, splitFields, textOf } from "./fields.ts";
import { LazyFile } from "./lazy-file.ts";
import { readEntry, readOpset } from "./metadata.ts";
import type { Reading } from "./reading.ts";
import { Writer } from "./writer.ts";

type ReadingOf = (file: LazyFile) => Reading;

/** Returns the functions that Pith can read. The header keeps all functions as bytes. */
export async function readFunctions(
  messages: readonly Uint8Array[],
  readingOf: ReadingOf,
): Promise<readonly LocalFunction[]> {
  const functions: LocalFunction[] = [];
  for (const message of messages) {
    try {
      functions.push(await readFunction(message, readingOf));
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
    }
  }
  return functions;
}

async function readFunction(message: Uint8Array, readingOf: ReadingOf): Promise<LocalFunction> {
  const fields = splitFields(message);
  const fieldsWith = (number: number): readonly Field[] => fields.filter((field) => field.number === number);
  const writer = new Writer(undefined, 4096);
  for (const node of fieldsWith(f.node)) writer.bytes(graphFields.node, payload(node));
  writer.text(graphFields.name, textOf(fields, f.name));
  for (const [from, to] of [
    [f.input, graphFields.input],
    [f.output, graphFields.output],
  ] as const) {
    for (const name of fieldsWith(from)) writer.message(to, (info) => info.text(valueInfoFields.name, fieldText(name)));
  }
  for (const info of fieldsWith(f.valueInfo)) writer.bytes(graphFields.valueInfo, payload(info));
  const reading = readingOf(new LazyFile(sourceOf(writer)));
  const graph = new Graph();
  await reading.graph(await reading.file.fields(0, reading.file.source.size), graph, 0);
  const attributes = new Map<string, Attribute | undefined>();
  for (const name of fieldsWith(f.attribute)) attributes.set(fieldText(name), undefined);
  if (fieldsWith(f.defaults).length > 0) await readDefaults(fieldsWith(f.defaults), readingOf, attributes);
  return {
    domain: defaultDomain(textOf(fields, f.domain)),
    name: textOf(fields, f.name),
    overload: textOf(fields, f.overload),
    opsets: new Map(fieldsWith(f.opsetImport).map(readOpset)),
    attributes,
    references: findReferences(graph),
    graph,
  };
}

async function readDefaults(
  defaults: readonly Field[],
  readingOf: ReadingOf,
  attributes: Map<string, Attribute | undefined>,
): Promise<void> {
  const owner = new Graph().addNode({ op: "defaults", inputs: [], outputs: 0 });
  for (const field of defaults) {
    const writer = new Writer(undefined, 256);
    writer.bytes(f.defaults, payload(field));
    const reading = readingOf(new LazyFile(sourceOf(writer)));
    for (const attributeField of await reading.file.fields(0, reading.file.source.size)) {
      const [name, attribute] = await readAttribute(reading, attributeField, owner, 0, "a function");
      attributes.set(name, attribute);
    }
  }
}

function findReferences(graph: Graph): ReadonlyMap<Node, ReadonlyMap<string, string>> {
  const references = new Map<Node, ReadonlyMap<string, string>>();
  for (const node of allNodes(graph)) {
    const nodeReferences = new Map<string, string>();
    for (const [name, attribute] of node.attributes) {
      if (attribute.kind !== "opaque") continue;
      const from = lastField(splitFields(attribute.value), attributeFields.reference);
      if (from !== undefined) nodeReferences.set(name, fieldText(from));
    }
    if (nodeReferences.size > 0) references.set(node, nodeReferences);
  }
  return references;
}

/** Metadata keys and documentation texts of an exporter, which are removed. */
export interface ExporterText {
  key(key: string): boolean;
  doc(text: string): boolean;
}

/** Returns a function's message without exporter metadata and documentation. */
export function functionWithout(message: Uint8Array, notes: ExporterText): Uint8Array {
  return messageWithout(message, f, notes, (node) => messageWithout(node, nodeFields, notes));
}

function messageWithout(
  message: Uint8Array,
  numbers: { readonly doc: number; readonly metadata: number; readonly node?: number },
  notes: ExporterText,
  ofNode?: (node: Uint8Array) => Uint8Array,
): Uint8Array {
  const writer = new Writer(undefined, message.byteLength);
  let hasChanged = false;
  for (const field of splitFields(message)) {
    const { number } = field;
    const isNote =
      (number === numbers.doc && notes.doc(fieldText(field))) ||
      (number === numbers.metadata && notes.key(readEntry(field)[0]));
    const node = number === numbers.node ? ofNode?.(payload(field)) : undefined;
    hasChanged ||= isNote || (node !== undefined && node.byteLength !== payload(field).byteLength);
    if (node !== undefined) writer.bytes(number, node);
    else if (!isNote && field.bytes !== undefined) writer.field(number, field.bytes);
  }
  return hasChanged ? bytesOf(writer) : message;
}

function bytesOf(writer: Writer): Uint8Array {
  return concatBytes(writer.finish().filter((piece) => piece instanceof Uint8Array));
}

const sourceOf = (writer: Writer): ByteSource => bytesSource(bytesOf(writer), "a function of the model");
