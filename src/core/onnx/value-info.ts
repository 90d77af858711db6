/**
 * Reads and writes value types (ValueInfoProto, TypeProto). An unnamed dimension gets a unique name, `?input.0` for axis 0 of `input`, so that
 * unknown dimensions are never equal; it is not saved.
 */
import { PithError } from "../errors.ts";
import { type AnyType, type Container, isContainer } from "../graph/elements.ts";
import type { Value, ValueType } from "../graph/graph.ts";
import type { Role } from "../graph/role.ts";
import { type Dim, isUnknownDim, symbol, unknownDim } from "../tensor/dims.ts";
import { typeCodes, typeOfCode } from "../tensor/types.ts";
import {
  type Field,
  fieldText,
  integerOf,
  joinCarried,
  lastField,
  lastVarint,
  partsOf,
  payload,
  splitFields,
} from "./fields.ts";
import { readMetadata, writeMetadata } from "./metadata.ts";
import { originOf, setOrigin } from "./origin.ts";
import { dimFields, shapeFields, tensorTypeFields, typeFields, valueInfoFields } from "./schema.ts";
import type { Writer } from "./writer.ts";

export interface ValueInfo {
  readonly name: string;
  readonly type: ValueType | undefined;
  /** The TypeProto of a value that is not a tensor of a known element type, and its parsed part. */
  readonly foreign: { readonly type: Uint8Array; readonly container?: Container } | undefined;
  readonly doc: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
  readonly role: Role | undefined;
  readonly unknown: Uint8Array | undefined;
  readonly rest: Uint8Array | undefined;
}

/** The maximum rank: runtimes support eight to a few dozen axes. */
export const maxRank = 1024;
/** The maximum number of characters of a dimension; longer text is not parsed. */
const maxDimLength = 1024;

export class UnknownDims {
  readonly #counts = new Map<string, number>();

  next(value: string, axis: number): Dim {
    const { text: stem } = unknownDim(value, axis);
    const count = (this.#counts.get(stem) ?? 0) + 1;
    this.#counts.set(stem, count);
    // Sibling subgraphs can repeat a name; no stem contains "~".
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
  const parsed = stated === undefined ? undefined : readType(stated, typeField?.start ?? 0, name, unknownDims);
  const container = parsed !== undefined && isContainer(parsed) ? parsed : undefined;
  const type = parsed === undefined || isContainer(parsed) ? undefined : parsed;
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

/** Parses the type in a TypeProto; undefined if it has another or no type. */
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
    // Unreadable types are carried unchanged.
    if (error instanceof PithError) return undefined;
    throw error;
  }
}

/** The alternatives of a TypeProto besides a tensor, and the fields of their messages. */
const alternatives = { sequence: 4, map: 5, sparse: 8, optional: 9 } as const;
const [elementField, keyField, mapValueField] = [1, 1, 2];

/** The maximum nesting of types: real ones have two or three levels. */
const maxTypeDepth = 8;

function readContainer(field: Field, name: string, depth: number): Container | undefined {
  if (depth > maxTypeDepth || field.wire !== 2) return undefined;
  const last = (number: number): Field | undefined => lastField(partsOf(field), number);
  /** Elements of a sequence can differ in unstated dimensions, so these are never equal. */
  const tensor = (message: Field) => readTensorType(message, name, (axis) => unknownDim(`${name}:element`, axis));
  const inner = (number: number): AnyType | undefined => {
    const message = last(number);
    const typeField = message && partsOf(message).find((part) => part.number !== typeFields.denotation);
    if (typeField === undefined) return undefined;
    return typeField.number === typeFields.tensor ? tensor(typeField) : readContainer(typeField, name, depth + 1);
  };
  switch (field.number) {
    case alternatives.sequence:
    case alternatives.optional: {
      const element = inner(elementField);
      return element && { kind: field.number === alternatives.sequence ? "sequence" : "optional", of: element };
    }
    case alternatives.map: {
      const key = last(keyField);
      const type = key && typeOfCode(Number(lastVarint(key)));
      const element = inner(mapValueField);
      return type && element && { kind: "map", key: type, of: element };
    }
    case alternatives.sparse: {
      const element = tensor(field);
      return element && { kind: "sparse", of: element };
    }
    default:
      return undefined;
  }
}

/** @param open Names a dimension that the file leaves open. */
function readTensorType(tensor: Field, name: string, open: (axis: number) => Dim): ValueType | undefined {
  const fields = partsOf(tensor);
  const shape = lastField(fields, tensorTypeFields.shape);
  const dims = shape && readShape(shape, name, open);
  const type = typeOfCode(integerOf(fields, tensorTypeFields.elementType));
  return type === undefined ? undefined : { type, dims };
}

function readShape(shape: Field, name: string, open: (axis: number) => Dim): Dim[] {
  const dims: Dim[] = [];
  for (const field of partsOf(shape)) {
    if (field.number !== shapeFields.dim) continue;
    let dim: Dim | undefined;
    for (const part of partsOf(field)) {
      if (part.number === dimFields.value) {
        const value = lastVarint(part);
        // Some exporters write -1 for "unknown".
        dim = typeof value === "number" && value >= 0 ? value : undefined;
      } else if (part.number === dimFields.parameter) {
        const text = fieldText(part);
        const named = text === "" || text === "?" || text.length > maxDimLength ? undefined : symbol(text);
        dim = named !== undefined && isUnknownDim(named) ? undefined : named;
      }
    }
    if (dims.length >= maxRank) {
      throw new PithError("E_MODEL", `"${name}": it has more than ${maxRank} dimensions.`);
    }
    dims.push(dim ?? open(dims.length));
  }
  return dims;
}

/** Returns the stated type, or the inferred one if the format requires a type: for new values. */
function statedType({ stated, inferred, declared, foreign, graph }: Value): ValueType | undefined {
  const needsType = !declared && foreign?.type === undefined && graph.parent === undefined;
  return stated ?? (needsType ? inferred : undefined);
}

/** Writes a value into a list of inputs, outputs or value types. Stored tensors keep their metadata with the tensor. */
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
