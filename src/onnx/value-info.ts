/**
 * Types of values: ValueInfoProto and TypeProto. Those of values that are no tensors are only known: the file's bytes are what is saved.
 *
 * A dimension with neither a number nor a name is given a name that exists nowhere else, `?input.0` for axis 0 of `input`: two unknown
 * dimensions must not be taken for equal. Whatever contains such a name is written as unknown again.
 */
import { PithError } from "../errors.ts";
import { type AnyType, type Container, isContainer } from "../graph/elements.ts";
import type { Value, ValueType } from "../graph/graph.ts";
import type { Role } from "../graph/role.ts";
import { type Dim, isUnknownDim, symbol, unknownDim } from "../tensor/dims.ts";
import { typeCodes, typeOfCode } from "../tensor/types.ts";
import { type Field, fieldText, joinCarried, lastVarint, payload, splitFields } from "./fields.ts";
import { readMetadata, writeMetadata } from "./metadata.ts";
import { originOf, setOrigin } from "./origin.ts";
import { dimFields, shapeFields, tensorTypeFields, typeFields, valueInfoFields } from "./schema.ts";
import type { Writer } from "./writer.ts";

export interface ValueInfo {
  readonly name: string;
  readonly type: ValueType | undefined;
  /** The TypeProto of what is not a tensor of a known element type, and what it says as far as it is understood. */
  readonly foreign: { readonly type: Uint8Array; readonly container?: Container } | undefined;
  readonly doc: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
  readonly role: Role | undefined;
  readonly unknown: Uint8Array | undefined;
  /** All fields but name and type, as they stand in the file. */
  readonly rest: Uint8Array | undefined;
}

/** Axes of a tensor: runtimes bear eight to a few dozen. */
export const highestRank = 1024;
/** Of a dimension, in characters: what is longer than any sum of products is not looked into. */
const longestName = 1024;

/** Makes names for unknown dimensions, each once. */
export class UnknownDims {
  readonly #counts = new Map<string, number>();

  next(value: string, axis: number): Dim {
    const { text: stem } = unknownDim(value, axis);
    const count = (this.#counts.get(stem) ?? 0) + 1;
    this.#counts.set(stem, count);
    // Subgraphs beside each other may use a name twice; "~" is in no stem.
    return symbol(count === 1 ? stem : `${stem}~${count}`);
  }
}

export function readValueInfo(message: Uint8Array, base: number, unknownDims: UnknownDims): ValueInfo {
  const entries: Field[] = [];
  const unknown: Field[] = [];
  const rest: Field[] = [];
  let name = "";
  let typeField: Field | undefined;
  let doc: string | undefined;
  for (const field of splitFields(message, base)) {
    if (field.number === valueInfoFields.name) name = fieldText(field);
    else if (field.number === valueInfoFields.type) typeField = field;
    else {
      rest.push(field);
      if (field.number === valueInfoFields.doc) doc = fieldText(field);
      else if (field.number === valueInfoFields.metadata) entries.push(field);
      else unknown.push(field);
    }
  }
  const stated = typeField === undefined ? undefined : payload(typeField);
  const found = stated === undefined ? undefined : readType(stated, typeField?.start ?? 0, name, unknownDims);
  const container = found !== undefined && isContainer(found) ? found : undefined;
  const type = found === undefined || isContainer(found) ? undefined : found;
  const [metadata, role] = readMetadata(entries);
  return {
    name,
    type,
    foreign:
      type === undefined && stated !== undefined
        ? { type: stated, ...(container === undefined ? {} : { container }) }
        : undefined,
    doc,
    metadata,
    role,
    unknown: joinCarried(unknown),
    rest: joinCarried(rest),
  };
}

/** What a TypeProto says: the type of a tensor, or another; undefined where it says something else, or nothing that is understood. */
function readType(message: Uint8Array, base: number, name: string, unknownDims: UnknownDims): AnyType | undefined {
  const fields = splitFields(message, base).filter(({ number }) => number !== typeFields.denotation);
  const field = fields.at(-1);
  if (field === undefined || fields.some(({ number }) => number !== field.number)) return undefined;
  if (field.number === typeFields.tensor) {
    const type = readTensorType(field, name, (axis) => unknownDims.next(name, axis));
    if (type !== undefined) setOrigin(type, { whole: message });
    return type;
  }
  try {
    return readContainer(field, name, 0);
  } catch (error) {
    // What cannot be read is carried all the same.
    if (error instanceof PithError) return undefined;
    throw error;
  }
}

/** The alternatives of a TypeProto beside a tensor, and the fields of their messages. */
const alternatives = { sequence: 4, map: 5, sparse: 8, optional: 9 } as const;
const [elementField, keyField, mapValueField] = [1, 1, 2];

/** Real types are two or three deep. */
const deepest = 8;

function readContainer(field: Field, name: string, depth: number): Container | undefined {
  if (depth > deepest || field.wire !== 2) return undefined;
  const last = (number: number): Field | undefined =>
    splitFields(payload(field)).findLast((part) => part.number === number);
  /** Elements of a sequence differ in what the file leaves open: no such dimension equals another. */
  const tensor = (found: Field) => readTensorType(found, name, (axis) => unknownDim(`${name}:element`, axis));
  const inner = (number: number): AnyType | undefined => {
    const message = last(number);
    const found = message && splitFields(payload(message)).find((part) => part.number !== typeFields.denotation);
    if (found === undefined) return undefined;
    return found.number === typeFields.tensor ? tensor(found) : readContainer(found, name, depth + 1);
  };
  switch (field.number) {
    case alternatives.sequence:
    case alternatives.optional: {
      const of = inner(elementField);
      return of && { kind: field.number === alternatives.sequence ? "sequence" : "optional", of };
    }
    case alternatives.map: {
      const key = last(keyField);
      const type = key && typeOfCode(Number(lastVarint(key)));
      const of = inner(mapValueField);
      return type && of && { kind: "map", key: type, of };
    }
    case alternatives.sparse: {
      const of = tensor(field);
      return of && { kind: "sparse", of };
    }
    default:
      return undefined;
  }
}

/** @param open Names a dimension of which the file says nothing. */
function readTensorType(tensor: Field, name: string, open: (axis: number) => Dim): ValueType | undefined {
  let code = 0;
  let dims: Dim[] | undefined;
  for (const field of splitFields(payload(tensor), tensor.start)) {
    if (field.number === tensorTypeFields.elementType) code = Number(lastVarint(field));
    else if (field.number === tensorTypeFields.shape) dims = readShape(field, name, open);
  }
  const type = typeOfCode(code);
  return type === undefined ? undefined : { type, dims };
}

function readShape(shape: Field, name: string, open: (axis: number) => Dim): Dim[] {
  const dims: Dim[] = [];
  for (const field of splitFields(payload(shape), shape.start)) {
    if (field.number !== shapeFields.dim) continue;
    let dim: Dim | undefined;
    for (const part of splitFields(payload(field), field.start)) {
      if (part.number === dimFields.value) {
        const value = lastVarint(part);
        // Some exporters write -1 for "unknown".
        dim = typeof value === "number" && value >= 0 ? value : undefined;
      } else if (part.number === dimFields.parameter) {
        const text = fieldText(part);
        const named = text === "" || text === "?" || text.length > longestName ? undefined : symbol(text);
        dim = named !== undefined && isUnknownDim(named) ? undefined : named;
      }
    }
    if (dims.length >= highestRank) {
      throw new PithError("E_MODEL", `"${name}": it has more than ${highestRank} dimensions.`);
    }
    dims.push(dim ?? open(dims.length));
  }
  return dims;
}

/** What is stated; what was inferred where the format wants a type and none is stated: for what was made since the file was read. */
function statedType({ stated, inferred, declared, foreign, graph }: Value): ValueType | undefined {
  const wanted = !declared && foreign?.type === undefined && graph.parent === undefined;
  return stated ?? (wanted ? inferred : undefined);
}

/** A value as it is written in a list of inputs, outputs or value types. What is stored keeps its metadata with the tensor. */
export function writeValueInfo(writer: Writer, number: number, value: Value): void {
  const stored = value.tensor !== undefined;
  writer.message(
    number,
    (info) => {
      info.text(valueInfoFields.name, value.name);
      const type = statedType(value);
      const origin = type === undefined ? value.foreign?.type : originOf(type)?.whole;
      if (origin !== undefined) info.bytes(valueInfoFields.type, origin);
      else if (type !== undefined) info.message(valueInfoFields.type, (writer) => writeType(writer, type));
      if (stored) return;
      if (value.doc !== undefined) info.text(valueInfoFields.doc, value.doc);
      writeMetadata(info, valueInfoFields.metadata, value.metadata, value.role);
    },
    stored ? value.foreign?.info : value.unknown,
  );
}

function writeType(writer: Writer, type: ValueType): void {
  writer.message(typeFields.tensor, (tensor) => {
    tensor.integer(tensorTypeFields.elementType, typeCodes[type.type]);
    const { dims } = type;
    if (dims === undefined) return;
    tensor.message(tensorTypeFields.shape, (shape) => {
      for (const dim of dims) {
        shape.message(shapeFields.dim, (entry) => {
          if (typeof dim === "number") entry.integer(dimFields.value, dim);
          else if (!isUnknownDim(dim)) entry.text(dimFields.parameter, dim.text);
        });
      }
    });
  });
}
