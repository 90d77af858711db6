/**
 * Writes models (ModelProto, GraphProto) with fields in ascending order, as protobuf does. Types are written for inputs, outputs, values whose type
 * the file declared, and values with a role, metadata or documentation.
 */
import type { ByteSource, Dense, Graph, Model, Node, Tensor, Value } from "#graph";
import { allTensors, unsupportedError } from "#graph";
import { writeAttribute } from "./attribute.ts";
import {
  graphFields,
  modelFields,
  nodeFields,
  opsetFields,
  sparseFields,
  tensorFields,
  valueInfoFields,
} from "./field-numbers.ts";
import { fieldText, lastField, payload, splitFields } from "./fields.ts";
import { readOpset, writeMetadata } from "./metadata.ts";
import { originOf } from "./origin.ts";
import type { Writing } from "./reading.ts";
import { writeValueInfo } from "./value-info.ts";
import { type ExternalPlace, writeTensor } from "./write-tensor.ts";
import { type Piece, sizeOf, streamChunks, Writer } from "./writer.ts";

/** Protobuf's limit. */
const protobufLimit = 2 ** 31 - 1;

export interface EncodeOptions {
  /** Returns where a tensor is written, relative to the model's folder; undefined to store it in the model's file. */
  readonly place?: (value: Value, tensor: Tensor) => ExternalPlace | undefined;
}

/**
 * Encodes a model as an ONNX file, in chunks of about 1 MB. Weights in files are copied from these files.
 * @throws PithError E_UNSUPPORTED if the file would be 2 GiB or larger; E_SOURCE_CHANGED if a file that contains weights has changed.
 * @example
 * const parts: Uint8Array[] = [];
 * for await (const chunk of encode(model)) parts.push(chunk);
 * const download = new Blob(parts as BlobPart[]);
 */
export async function* encode(model: Model, options: EncodeOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
  yield* streamChunks(requireFit(await modelPieces(model, options)));
}

/**
 * Encodes a model as an ONNX file in one array.
 * @throws PithError as `encode` does.
 */
export async function encodeToBytes(model: Model, options: EncodeOptions = {}): Promise<Uint8Array> {
  const pieces = requireFit(await modelPieces(model, options));
  const bytes = new Uint8Array(totalSize(pieces));
  let length = 0;
  for await (const chunk of streamChunks(pieces)) {
    bytes.set(chunk, length);
    length += chunk.byteLength;
  }
  return bytes;
}

export async function encodedSize(model: Model, options: EncodeOptions = {}): Promise<number> {
  return totalSize(requireFit(await modelPieces(model, options)));
}

/** Returns a source with the contents of the model's file, which is not written. */
export async function encodedSource(model: Model): Promise<ByteSource> {
  const pieces = requireFit(await modelPieces(model, {}));
  let cachedPiece: { readonly piece: Piece; readonly bytes: Uint8Array } | undefined;
  const readPiece = async (piece: Piece, start: number, end: number): Promise<Uint8Array> => {
    if (piece instanceof Uint8Array) return piece.subarray(start, end);
    if (!("produce" in piece)) return piece.source.read(piece.start + start, piece.start + end);
    if (cachedPiece?.piece !== piece) cachedPiece = { piece, bytes: await piece.produce() };
    return cachedPiece.bytes.subarray(start, end);
  };
  return {
    size: totalSize(pieces),
    name: "a model that is not written",
    async read(start, end) {
      const bytes = new Uint8Array(end - start);
      let pieceStart = 0;
      for (const piece of pieces) {
        const [from, to] = [Math.max(start, pieceStart), Math.min(end, pieceStart + sizeOf(piece))];
        if (from < to) bytes.set(await readPiece(piece, from - pieceStart, to - pieceStart), from - start);
        pieceStart += sizeOf(piece);
      }
      return bytes;
    },
  };
}

export function fitInFile(pieces: readonly Piece[], fileBytes = protobufLimit): boolean {
  return totalSize(pieces) <= Math.min(fileBytes, protobufLimit);
}

export function requireFit(pieces: readonly Piece[]): readonly Piece[] {
  if (fitInFile(pieces)) return pieces;
  throw unsupportedError(`The model takes ${totalSize(pieces)} bytes, and an ONNX file can take ${protobufLimit}.`, {
    hint: "save(model, path) stores the weights of the graph in a file next to the model. Constants in nodes cannot be moved.",
  });
}

function totalSize(pieces: readonly Piece[]): number {
  return pieces.reduce((size, piece) => size + sizeOf(piece), 0);
}

export async function modelPieces(model: Model, options: EncodeOptions): Promise<readonly Piece[]> {
  const strings = await readStrings(model.graph);
  const writing: Writing = { strings, graph: (writer, graph) => writeGraph(writer, graph, writing, options) };
  const { header } = model;
  const opsets = carriedOpsets(header.unknown);
  const writer = new Writer(header.unknown, 4096);
  if (header.irVersion !== 0) writer.integer(modelFields.irVersion, header.irVersion);
  writeTexts(writer, [
    [modelFields.producerName, header.producerName],
    [modelFields.producerVersion, header.producerVersion],
    [modelFields.domain, header.domain],
  ]);
  if (BigInt(header.modelVersion) !== 0n) writer.integer(modelFields.modelVersion, header.modelVersion);
  if (header.doc !== "") writer.text(modelFields.doc, header.doc);
  writer.message(modelFields.graph, (message) => writing.graph(message, model.graph), model.graph.unknown);
  for (const [domain, version] of header.opsets) {
    const originalBytes = opsets.get(`${domain} ${version}`);
    if (originalBytes !== undefined) writer.bytes(modelFields.opsetImport, originalBytes);
    else {
      writer.message(modelFields.opsetImport, (message) => {
        if (domain !== "") message.text(opsetFields.domain, domain);
        message.integer(opsetFields.version, version);
      });
    }
  }
  writeMetadata(writer, modelFields.metadata, header.metadata);
  for (const bytes of header.functions) writer.bytes(modelFields.functions, bytes);
  return writer.finish();
}

/** Returns the opset imports of the opened file, which can write the default domain explicitly. */
function carriedOpsets(unknown: Uint8Array | undefined): Map<string, Uint8Array> {
  const opsets = new Map<string, Uint8Array>();
  for (const field of unknown === undefined ? [] : splitFields(unknown)) {
    if (field.number === modelFields.opsetImport) opsets.set(readOpset(field).join(" "), payload(field));
  }
  return opsets;
}

function writeGraph(writer: Writer, graph: Graph, writing: Writing, options: EncodeOptions): void {
  const values = [...graph.values()];
  for (const node of graph.nodes()) writeNode(writer, node, writing);
  if (graph.name !== "") writer.text(graphFields.name, graph.name);
  for (const value of values) {
    const { tensor } = value;
    if (tensor === undefined) continue;
    const attachments = {
      name: value.name,
      doc: value.doc,
      metadata: value.metadata,
      role: value.role,
      place: tensor.type === "string" ? undefined : options.place?.(value, tensor),
      strings: writing.strings,
    };
    writer.message(graphFields.initializer, (message) => writeTensor(message, tensor, attachments), value.unknown);
  }
  if (graph.doc !== undefined) writer.text(graphFields.doc, graph.doc);
  for (const value of graph.inputs) writeValueInfo(writer, graphFields.input, value);
  for (const value of graph.outputs) writeValueInfo(writer, graphFields.output, value);
  const interfaceValues = new Set([...graph.inputs, ...graph.outputs]);
  for (const value of values) {
    const isDeclared = value.declared && (value.stated !== undefined || value.foreign?.type !== undefined);
    if (isDeclared || (!interfaceValues.has(value) && hasAnnotations(value)))
      writeValueInfo(writer, graphFields.valueInfo, value);
  }
  for (const info of strayInfos(graph)) writer.bytes(graphFields.valueInfo, info);
  for (const value of values) {
    const sparse = value.foreign?.sparse;
    if (sparse !== undefined) writeSparse(writer, value.name, sparse);
  }
  writeMetadata(writer, graphFields.metadata, graph.metadata);
}

/** Returns the type declarations of the opened file for names that no visible value has. */
function strayInfos(graph: Graph): Uint8Array[] {
  if (graph.unknown === undefined) return [];
  return splitFields(graph.unknown)
    .filter((field) => field.number === graphFields.valueInfo)
    .map(payload)
    .filter((info) => {
      const name = lastField(splitFields(info), valueInfoFields.name);
      return name === undefined || graph.value(fieldText(name)) === undefined;
    });
}

function hasAnnotations(value: Value): boolean {
  if (value.tensor !== undefined || value.foreign?.sparse !== undefined) return false;
  return value.role !== undefined || value.metadata.size > 0 || value.doc !== undefined || value.unknown !== undefined;
}

function writeNode(writer: Writer, node: Node, writing: Writing): void {
  writer.message(
    graphFields.node,
    (message) => {
      for (const input of node.inputs) message.text(nodeFields.input, input?.name ?? "");
      for (const output of node.outputs) message.text(nodeFields.output, output?.name ?? "");
      writeTexts(message, [[nodeFields.name, node.name]]);
      message.text(nodeFields.op, node.op);
      for (const [name, attribute] of node.attributes) {
        writeAttribute(message, nodeFields.attribute, name, attribute, writing);
      }
      if (node.doc !== undefined) message.text(nodeFields.doc, node.doc);
      writeTexts(message, [
        [nodeFields.domain, node.domain],
        [nodeFields.overload, node.overload],
      ]);
      writeMetadata(message, nodeFields.metadata, node.metadata);
    },
    node.unknown,
  );
}

function writeTexts(writer: Writer, texts: readonly (readonly [number: number, text: string])[]): void {
  for (const [number, text] of texts) if (text !== "") writer.text(number, text);
}

/** Writes a sparse tensor. Its values contain the name, so they are rewritten if it has changed. */
function writeSparse(writer: Writer, name: string, sparse: Uint8Array): void {
  const values = splitFields(sparse).find((field) => field.number === sparseFields.values);
  const oldFields = values === undefined ? [] : splitFields(payload(values));
  if (
    values === undefined ||
    oldFields.some((field) => field.number === tensorFields.name && fieldText(field) === name)
  ) {
    writer.bytes(graphFields.sparseInitializer, sparse);
    return;
  }
  writer.message(
    graphFields.sparseInitializer,
    (message) =>
      message.message(sparseFields.values, (tensor) => tensor.text(tensorFields.name, name), payload(values)),
    sparse,
  );
}

/** Reads string tensors that are not stored in a file: the size of their encoding depends on the contents. */
async function readStrings(graph: Graph): Promise<Map<Tensor, Dense<"string">>> {
  const strings = new Map<Tensor, Dense<"string">>();
  for (const tensor of new Set(allTensors(graph))) {
    if (tensor.type !== "string" || originOf(tensor) !== undefined) continue;
    const dense = await tensor.read();
    if (dense.type === "string") strings.set(tensor, dense);
  }
  return strings;
}
