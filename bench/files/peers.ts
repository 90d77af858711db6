/** Other protobuf implementations, which read and write ONNX with the official onnx.proto. Loaded on demand, because they use memory. */
import { readFileSync } from "node:fs";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Root, Type } from "protobufjs";

const source = new URL("../peers/onnx.proto", import.meta.url);

interface TensorMessage {
  name: string;
  raw_data: Uint8Array;
}

/** The fields of a ModelProto that the bench uses. */
export interface ModelMessage {
  readonly graph: { readonly initializer: TensorMessage[] };
  readonly metadata_props: { key: string; value: string }[];
}

async function root(): Promise<Root> {
  const { default: protobuf } = await import("protobufjs");
  const { root } = protobuf.parse(readFileSync(source, "utf8"), { keepCase: true });
  root.resolveAll();
  return root;
}

export interface Protobufjs {
  readonly type: Type;
  decode(bytes: Uint8Array): ModelMessage;
  encode(model: ModelMessage): Uint8Array;
}

export async function protobufjs(): Promise<Protobufjs> {
  const type = (await root()).lookupType("onnx.ModelProto");
  return {
    type,
    decode: (bytes) => type.decode(bytes) as ReturnType<Type["decode"]> & ModelMessage,
    encode: (model) => type.encode(model).finish(),
  };
}

/** A message with its fields by camel-case name. */
type Fields = Message & Record<string, unknown>;

export interface Bufbuild {
  readonly schema: DescMessage;
  decode(bytes: Uint8Array): Fields;
  encode(model: Fields): Uint8Array;
  equal(a: Uint8Array, b: Uint8Array): boolean;
  setRaw(model: Fields, tensor: string, raw: Uint8Array): void;
  addMetadata(model: Fields, key: string, value: string): void;
}

export async function bufbuild(): Promise<Bufbuild> {
  const protobuf = await import("@bufbuild/protobuf");
  const { compiled } = await import("./descriptors.ts");
  const { create, createFileRegistry, fromBinary, toBinary } = protobuf;
  const registry = createFileRegistry(compiled(await root()));
  const schema = registry.getMessage("onnx.ModelProto");
  const entry = registry.getMessage("onnx.StringStringEntryProto");
  if (schema === undefined || entry === undefined) throw new Error("onnx.proto has no ModelProto");
  const decode = (bytes: Uint8Array): Fields => fromBinary(schema, bytes) as Fields;
  return {
    schema,
    decode,
    encode: (model) => toBinary(schema, model),
    // The comparison encodes both messages, because NaN is not equal to itself.
    equal: (a, b) => Buffer.compare(toBinary(schema, decode(a)), toBinary(schema, decode(b))) === 0,
    setRaw(model, name, raw) {
      const { initializer } = model.graph as { initializer: Record<string, unknown>[] };
      for (const tensor of initializer) if (tensor.name === name) tensor.rawData = raw;
    },
    addMetadata(model, key, value) {
      (model.metadataProps as Message[]).push(create(entry, { key, value }));
    },
  };
}
