/** Reads and writes value types (ValueInfoProto, TypeProto). Each unknown dimension gets a unique name, which is not saved. */
import type { AnyType, Container, Dim, Role, Value, ValueType } from "#graph";
import { isContainer, isUnknownDim, modelError, PithError, symbol, typeCodes, typeOfCode, unknownDim } from "#graph";
import { dimFields, shapeFields, tensorTypeFields, typeFields, valueInfoFields } from "./field-numbers.ts";
import {
  type Field,
  fieldText,
  integerOf,
  joinCarried,
  lastField,
  lastVarint,
  payload,
  splitFields,
  subfieldsOf,
} from "./fields.ts";
import { readMetadata, writeMetadata } from "./metadata.ts";
import { originOf, setOrigin } from "./origin.ts";
import type { Writer } from "./writer.ts";

export interface ValueInfo {
  readonly name: string;
  readonly type: ValueType | undefined;
  /** The TypeProto of a value that is not a tensor of a known element type, and its parsed form. */
  readonly foreign: { readonly type: Uint8Array; readonly container?: Container } | undefined;
  readonly doc: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
  readonly role: Role | undefined;
  /** Unknown fields of the ValueInfoProto, in wire format. */
  readonly unknown: Uint8Array | undefined;
  /** All fields except name and type. */
  readonly rest: Uint8Array | undefined;
}

/** Runtimes support a few dozen axes. */
export const maxRank = 1024;
/** Longer text counts as unknown. */
const maxDimLength = 1024;

export class UnknownDims {
  readonly #counts = new Map<string, number>();

  next(value: string, axis: number): Dim {
    const { text: stem } = unknownDim(value, axis);
    const count = (this.#counts.get(stem) ?? 0) + 1;
    this.#counts.set(stem, count);
    // Values of sibling subgraphs can share a name. No stem contains "~".
    return symbol(count === 1 ? stem : `${stem}~${count}`);
  }
}

export function readValueInfo(message: Uint8Array, base: number, unknownDims: UnknownDims): ValueInfo {
  const entries: Field[] = [];
  const unknown: Field[] = [];
  const otherFields: Field[] = [];
  let name = "";
  let typeField: Field | undefined;
  let doc: string | undefined;
  for (const field of splitFields(message, base)) {
    if (field.number === valueInfoFields.name) name = fieldText(field);
    else if (field.number === valueInfoFields.type) typeField = field;
    else {
      otherFields.push(field);
      if (field.number === valueInfoFields.doc) doc = fieldText(field);
      else if (field.number === valueInfoFields.metadata) entries.push(field);
      else unknown.push(field);
    }
  }
  const typeMessage = typeField === undefined ? undefined : payload(typeField);
  const parsedType =
    typeMessage === undefined ? undefined : readType(typeMessage, typeField?.start ?? 0, name, unknownDims);
  const container = parsedType !== undefined && isContainer(parsedType) ? parsedType : undefined;
  const type = parsedType === undefined || isContainer(parsedType) ? undefined : parsedType;
  const [metadata, role] = readMetadata(entries);
  return {
    name,
    type,
    foreign:
      type === undefined && typeMessage !== undefined
        ? { type: typeMessage, ...(container === undefined ? {} : { container }) }
        : undefined,
    doc,
    metadata,
    role,
    unknown: joinCarried(unknown),
    rest: joinCarried(otherFields),
  };
}

/** Returns whether fields of a ValueInfoProto state more than metadata whose keys satisfy `isNote`. */
export function statesMoreThanNotes(fields: Uint8Array, isNote: (key: string) => boolean): boolean {
  const allFields = splitFields(fields);
  const [metadata, role] = readMetadata(allFields.filter(({ number }) => number === valueInfoFields.metadata));
  return (
    role !== undefined ||
    allFields.some(({ number }) => number !== valueInfoFields.metadata) ||
    [...metadata.keys()].some((key) => !isNote(key))
  );
}

/** Parses a TypeProto; undefined for a missing or unsupported type. */
function readType(message: Uint8Array, base: number, name: string, unknownDims: UnknownDims): AnyType | undefined {
  const fields = splitFields(message, base).filter(({ number }) => number !== typeFields.denotation);
  const field = fields.at(-1);
  if (field === undefined || fields.some(({ number }) => number !== field.number)) return undefined;
  if (field.number === typeFields.tensor) {
    const type = readTensorType(field, name, (axis) => unknownDims.next(name, axis));
    if (type !== undefined) setOrigin(type, { message: message });
    return type;
  }
  try {
    return readContainer(field, name, unknownDims, 0);
  } catch (error) {
    // Its bytes are kept (`foreign`).
    if (error instanceof PithError) return undefined;
    throw error;
  }
}

/** Field numbers of TypeProto, and then of element, key and value in their messages. */
const containerFields = { sequence: 4, map: 5, sparse: 8, optional: 9 } as const;
const [elementField, keyField, mapValueField] = [1, 1, 2];

/** Real models have two or three levels. */
const maxTypeDepth = 8;

function readContainer(field: Field, name: string, unknownDims: UnknownDims, depth: number): Container | undefined {
  if (depth > maxTypeDepth || field.wire !== 2) return undefined;
  const lastWith = (number: number): Field | undefined => lastField(subfieldsOf(field), number);
  /** Unstated dimensions get unique names, because they can differ between elements. */
  const parseElement = (message: Field) =>
    readTensorType(message, name, (axis) => unknownDims.next(`${name}:element`, axis));
  const elementTypeAt = (number: number): AnyType | undefined => {
    const message = lastWith(number);
    const typeField = message && subfieldsOf(message).find((part) => part.number !== typeFields.denotation);
    if (typeField === undefined) return undefined;
    return typeField.number === typeFields.tensor
      ? parseElement(typeField)
      : readContainer(typeField, name, unknownDims, depth + 1);
  };
  switch (field.number) {
    case containerFields.sequence:
    case containerFields.optional: {
      const element = elementTypeAt(elementField);
      return element && { kind: field.number === containerFields.sequence ? "sequence" : "optional", of: element };
    }
    case containerFields.map: {
      const key = lastWith(keyField);
      const type = key && typeOfCode(Number(lastVarint(key)));
      const element = elementTypeAt(mapValueField);
      return type && element && { kind: "map", key: type, of: element };
    }
    case containerFields.sparse: {
      const element = parseElement(field);
      return element && { kind: "sparse", of: element };
    }
    default:
      return undefined;
  }
}

function readTensorType(tensor: Field, name: string, nameUnknownDim: (axis: number) => Dim): ValueType | undefined {
  const fields = subfieldsOf(tensor);
  const shape = lastField(fields, tensorTypeFields.shape);
  const dims = shape && readShape(shape, name, nameUnknownDim);
  const type = typeOfCode(integerOf(fields, tensorTypeFields.elementType));
  return type === undefined ? undefined : { type, dims };
}

function readShape(shape: Field, name: string, nameUnknownDim: (axis: number) => Dim): Dim[] {
  const dims: Dim[] = [];
  for (const field of subfieldsOf(shape)) {
    if (field.number !== shapeFields.dim) continue;
    let dim: Dim | undefined;
    for (const part of subfieldsOf(field)) {
      if (part.number === dimFields.value) {
        const value = lastVarint(part);
        // Some exporters write −1 for an unknown size.
        dim = typeof value === "number" && value >= 0 ? value : undefined;
      } else if (part.number === dimFields.parameter) {
        const text = fieldText(part);
        const namedDim = text === "" || text === "?" || text.length > maxDimLength ? undefined : symbol(text);
        dim = namedDim !== undefined && isUnknownDim(namedDim) ? undefined : namedDim;
      }
    }
    if (dims.length >= maxRank) throw modelError(`"${name}": it has more than ${maxRank} dimensions.`);
    dims.push(dim ?? nameUnknownDim(dims.length));
  }
  return dims;
}

/** The stated type, or, for undeclared values of the main graph, the inferred type, because the format requires one. */
function statedType({ stated, inferred, declared, foreign, graph }: Value): ValueType | undefined {
  const needsType = !declared && foreign?.type === undefined && graph.parent === undefined;
  return stated ?? (needsType ? inferred : undefined);
}

/** The metadata of stored tensors is written with the tensor instead. */
export function writeValueInfo(writer: Writer, number: number, value: Value): void {
  const isStored = value.tensor !== undefined;
  writer.message(
    number,
    (info) => {
      info.text(valueInfoFields.name, value.name);
      const type = statedType(value);
      const origin = type === undefined ? value.foreign?.type : originOf(type)?.message;
      if (origin !== undefined) info.bytes(valueInfoFields.type, origin);
      else if (type !== undefined) info.message(valueInfoFields.type, (writer) => writeType(writer, type));
      if (isStored) return;
      if (value.doc !== undefined) info.text(valueInfoFields.doc, value.doc);
      writeMetadata(info, valueInfoFields.metadata, value.metadata, value.role);
    },
    isStored ? value.foreign?.info : value.unknown,
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
