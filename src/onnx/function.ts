/**
 * Functions of a model, read as graphs. A FunctionProto has what a graph has under other numbers, so it is rewritten as a model whose graph is
 * the body, and read like any other.
 */
import { PithError } from "../errors.ts";
import type { Attribute } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { open } from "./index.ts";
import { attributeFields, functionFields, graphFields, modelFields, nodeFields, valueInfoFields } from "./schema.ts";
import { decodeText, readHeader } from "./wire.ts";
import { Writer } from "./writer.ts";

export interface LocalFunction {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  /** Inputs and outputs are the function's own; values have no types unless the file says them. */
  readonly body: Graph;
  readonly opsets: ReadonlyMap<string, number>;
  /** Attributes that a call may leave out. */
  readonly defaults: ReadonlyMap<string, Attribute>;
}

/** What the node that carries the defaults through the decoder is called. */
const carrier = "pith.defaults";

/** @throws PithError E_NOT_ONNX if the bytes are no FunctionProto, E_MODEL if it contradicts itself. */
export async function readFunction(bytes: Uint8Array): Promise<LocalFunction> {
  const names = { domain: "", name: "", overload: "" };
  const whole = new Writer();
  whole.integer(modelFields.irVersion, 10);
  const graph = new Writer();
  const defaults = new Writer();
  for (const { number, payload } of fieldsOf(bytes)) {
    switch (number) {
      case functionFields.name:
        names.name = textOf(payload);
        break;
      case functionFields.domain:
        names.domain = textOf(payload);
        break;
      case functionFields.overload:
        names.overload = textOf(payload);
        break;
      case functionFields.input:
        graph.message(graphFields.input, (value) => value.text(valueInfoFields.name, textOf(payload)));
        break;
      case functionFields.output:
        graph.message(graphFields.output, (value) => value.text(valueInfoFields.name, textOf(payload)));
        break;
      case functionFields.node:
        graph.bytes(graphFields.node, payload);
        break;
      case functionFields.valueInfo:
        graph.bytes(graphFields.valueInfo, payload);
        break;
      case functionFields.opsetImport:
        whole.bytes(modelFields.opsetImport, payload);
        break;
      case functionFields.defaults:
        defaults.bytes(nodeFields.attribute, payload);
        break;
    }
  }
  defaults.text(nodeFields.op, carrier);
  graph.bytes(graphFields.node, joined(defaults));
  whole.bytes(modelFields.graph, joined(graph));
  const model = await open(joined(whole));
  const last = [...model.graph.nodes()].find(({ op }) => op === carrier);
  const found = new Map(last?.attributes);
  if (last !== undefined) model.graph.removeNode(last);
  return { ...names, body: model.graph, opsets: model.opsets, defaults: found };
}

/** The attribute of the call that an attribute inside a function stands for (`ref_attr_name`), if it does. */
export function referredAttribute(attribute: Attribute): string | undefined {
  if (attribute.kind !== "opaque") return undefined;
  const field = [...fieldsOf(attribute.value)].find(({ number }) => number === attributeFields.reference);
  return field === undefined ? undefined : textOf(field.payload);
}

function* fieldsOf(bytes: Uint8Array): Generator<{ readonly number: number; readonly payload: Uint8Array }> {
  for (let at = 0; at < bytes.byteLength; ) {
    const { number, start, end } = readHeader(bytes, 0, at, bytes.byteLength);
    yield { number, payload: bytes.subarray(start, end) };
    at = end;
  }
}

function textOf(bytes: Uint8Array): string {
  const text = decodeText(bytes);
  if (text === undefined) throw new PithError("E_NOT_ONNX", "A function of the model has a name that is no text.");
  return text;
}

function joined(writer: Writer): Uint8Array {
  const pieces = writer.finish().flatMap((piece) => (piece instanceof Uint8Array ? [piece] : []));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}
