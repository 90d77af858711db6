/** ONNX files read and written by another protobuf implementation (protobufjs, from ONNX's own onnx.proto): what ours is judged by. */
import { readFileSync } from "node:fs";
import protobuf from "protobufjs";

/** A number that no ONNX message uses: stands for the fields of the future. */
export const futureField = 999;

function load(): protobuf.Root {
  const text = readFileSync(new URL("../../../bench/peers/onnx.proto", import.meta.url), "utf8");
  const { root } = protobuf.parse(text, { keepCase: true });
  const visit = (namespace: protobuf.NamespaceBase): void => {
    for (const inner of namespace.nestedArray) {
      if (inner instanceof protobuf.Type) inner.add(new protobuf.Field("future", futureField, "bytes"));
      if (inner instanceof protobuf.Namespace) visit(inner);
    }
  };
  visit(root);
  root.resolveAll();
  return root;
}

const modelProto = load().lookupType("onnx.ModelProto");

/** A message as plain data: numbers beyond 2⁵³ as texts, bytes as base64. */
export function toPlain(bytes: Uint8Array): Record<string, unknown> {
  return modelProto.toObject(modelProto.decode(bytes), { longs: String, bytes: String });
}

export function fromPlain(message: Record<string, unknown>): Uint8Array {
  return Uint8Array.from(modelProto.encode(modelProto.fromObject(message)).finish());
}

/** The numbers of a message's fields, ascending. */
export function fieldNumbers(type: string): number[] {
  const { fieldsArray } = modelProto.root.lookupType(`onnx.${type}`);
  return fieldsArray.map(({ id }) => id).toSorted((a, b) => a - b);
}

/** The numbers of an enumeration, ascending. */
export function numbersOf(enumeration: string): number[] {
  const { values } = modelProto.root.lookupEnum(`onnx.${enumeration}`);
  return Object.values(values).toSorted((a, b) => a - b);
}
