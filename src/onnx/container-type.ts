/** Types of values that are no tensors: sequences, optionals, maps, sparse tensors. What is read here is only known; the file's bytes are what is saved. */
import { PithError } from "../errors.ts";
import { type AnyType, type Container, isContainer } from "../graph/elements.ts";
import { type Dim, symbol, unknownDim } from "../tensor/dims.ts";
import { typeOfCode } from "../tensor/types.ts";
import { type Field, fieldText, lastVarint, payload, splitFields } from "./fields.ts";
import { dimFields, shapeFields, tensorTypeFields, typeFields } from "./schema.ts";

/** The alternatives of a TypeProto beside a tensor, and the fields of their messages. */
const sequence = 4;
const map = 5;
const sparse = 8;
const optional = 9;
const elementField = 1;
const keyField = 1;
const mapValueField = 2;

/** Real types are two or three deep. */
const deepest = 8;

/** What a TypeProto says of a value that is no tensor; undefined where it says something else, or nothing that is understood. */
export function readContainer(message: Uint8Array, name: string): Container | undefined {
  try {
    const type = readAny(message, name, 0);
    return type !== undefined && isContainer(type) ? type : undefined;
  } catch (error) {
    // What cannot be read is carried all the same.
    if (error instanceof PithError) return undefined;
    throw error;
  }
}

function readAny(message: Uint8Array, name: string, depth: number): AnyType | undefined {
  if (depth > deepest) return undefined;
  const field = splitFields(message).find(({ number }) => number !== typeFields.denotation);
  if (field === undefined || field.wire !== 2) return undefined;
  const inside = splitFields(payload(field));
  const inner = (number: number): AnyType | undefined => {
    const found = inside.findLast((part) => part.number === number);
    return found === undefined ? undefined : readAny(payload(found), name, depth + 1);
  };
  switch (field.number) {
    case typeFields.tensor:
      return readTensor(inside, name);
    case sequence: {
      const of = inner(elementField);
      return of === undefined ? undefined : { kind: "sequence", of };
    }
    case optional: {
      const of = inner(elementField);
      return of === undefined ? undefined : { kind: "optional", of };
    }
    case map: {
      const key = inside.findLast((part) => part.number === keyField);
      const type = key === undefined ? undefined : typeOfCode(Number(lastVarint(key)));
      const of = inner(mapValueField);
      return type === undefined || of === undefined ? undefined : { kind: "map", key: type, of };
    }
    case sparse: {
      const of = readTensor(inside, name);
      return of === undefined || isContainer(of) ? undefined : { kind: "sparse", of };
    }
    default:
      return undefined;
  }
}

function readTensor(fields: readonly Field[], name: string): AnyType | undefined {
  const code = fields.findLast((field) => field.number === tensorTypeFields.elementType);
  const shape = fields.findLast((field) => field.number === tensorTypeFields.shape);
  const type = code === undefined ? undefined : typeOfCode(Number(lastVarint(code)));
  if (type === undefined) return undefined;
  const entries = shape === undefined ? undefined : splitFields(payload(shape));
  return {
    type,
    dims: entries?.filter((field) => field.number === shapeFields.dim).map((field, axis) => readDim(field, name, axis)),
  };
}

/** Elements of a sequence differ in what the file leaves open: no such dimension equals another. */
function readDim(field: Field, name: string, axis: number): Dim {
  for (const part of splitFields(payload(field))) {
    if (part.number === dimFields.value) {
      const value = lastVarint(part);
      if (typeof value === "number" && value >= 0) return value;
    } else if (part.number === dimFields.parameter && fieldText(part) !== "") return symbol(fieldText(part));
  }
  return unknownDim(`${name}:element`, axis);
}
