/** onnx.proto as the descriptors that @bufbuild/protobuf works from, out of what protobufjs parsed: neither needs a compiler then. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type DescriptorProtoSchema,
  type EnumDescriptorProtoSchema,
  type FieldDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Scalar,
} from "@bufbuild/protobuf/wkt";
import protobuf from "protobufjs";

const scalars: Readonly<Record<string, Scalar>> = {
  float: Scalar.FLOAT,
  double: Scalar.DOUBLE,
  int32: Scalar.INT32,
  int64: Scalar.INT64,
  uint64: Scalar.UINT64,
  string: Scalar.STRING,
  bytes: Scalar.BYTES,
};

export function compiled(root: protobuf.Root): FileDescriptorSet {
  const inside = root.lookup("onnx");
  if (!(inside instanceof protobuf.Namespace)) throw new Error("onnx.proto has no package onnx");
  const { types, enums } = contents(inside);
  const file = { name: "onnx.proto", package: "onnx", syntax: "proto2", messageType: types, enumType: enums };
  return create(FileDescriptorSetSchema, { file: [file] });
}

function contents(namespace: protobuf.NamespaceBase): {
  types: MessageInitShape<typeof DescriptorProtoSchema>[];
  enums: MessageInitShape<typeof EnumDescriptorProtoSchema>[];
} {
  const types = namespace.nestedArray.filter((inner) => inner instanceof protobuf.Type).map(message);
  const enums = namespace.nestedArray.filter((inner) => inner instanceof protobuf.Enum).map(enumeration);
  return { types, enums };
}

function message(type: protobuf.Type): MessageInitShape<typeof DescriptorProtoSchema> {
  const { types, enums } = contents(type);
  const oneofs = type.oneofsArray.map(({ name }) => name);
  return {
    name: type.name,
    field: type.fieldsArray.map((one) => field(one, oneofs)),
    nestedType: types,
    enumType: enums,
    oneofDecl: oneofs.map((name) => ({ name })),
  };
}

function field(one: protobuf.Field, oneofs: readonly string[]): MessageInitShape<typeof FieldDescriptorProtoSchema> {
  const { resolvedType } = one;
  const scalar = scalars[one.type];
  const type = resolvedType === null ? scalar : resolvedType instanceof protobuf.Enum ? Scalar.ENUM : Scalar.MESSAGE;
  if (type === undefined) throw new Error(`${one.fullName} is of type ${one.type}`);
  return {
    name: one.name,
    number: one.id,
    label: one.repeated ? Label.REPEATED : Label.OPTIONAL,
    type,
    ...(resolvedType === null ? {} : { typeName: resolvedType.fullName }),
    ...(one.partOf === null ? {} : { oneofIndex: oneofs.indexOf(one.partOf.name) }),
    ...(one.repeated && one.packed && resolvedType === null ? { options: { packed: true } } : {}),
  };
}

function enumeration(of: protobuf.Enum): MessageInitShape<typeof EnumDescriptorProtoSchema> {
  return { name: of.name, value: Object.entries(of.values).map(([name, number]) => ({ name, number })) };
}
