import { describe, expect, test } from "vitest";
import * as schema from "../../../src/core/onnx/field-numbers.ts";
import { typeCodes } from "../../../src/core/tensor/types.ts";
import { roundTripFault } from "./foreign.ts";
import { fieldNumbers, futureField, numbersOf } from "./oracle.ts";

describe("models from another protobuf implementation", () => {
  test("are saved byte for byte, also as copies, and parse equally in any field order", async () => {
    for (let seed = 0; seed < 10; seed++) expect(await roundTripFault(seed)).toBeUndefined();
  });
});

describe("the schema equals onnx.proto", () => {
  test.each([
    ["ModelProto", schema.modelFields],
    ["OperatorSetIdProto", schema.opsetFields],
    ["GraphProto", schema.graphFields],
    ["NodeProto", schema.nodeFields],
    ["AttributeProto", schema.attributeFields],
    ["ValueInfoProto", schema.valueInfoFields],
    ["TensorProto", schema.tensorFields],
    ["SparseTensorProto", schema.sparseFields],
    ["StringStringEntryProto", schema.entryFields],
    ["TensorShapeProto.Dimension", schema.dimFields],
  ] as const)("in every field of %s", (name, fields) => {
    const schemaNumbers = Object.values(fields).toSorted((a, b) => a - b);
    expect(schemaNumbers).toEqual(fieldNumbers(name).filter((number) => number !== futureField));
  });

  test("in every element type up to IR version 13", () => {
    const codes = Object.values(typeCodes);
    // 27 and 28, 6-bit floats, are of IR version 14.
    expect(codes.toSorted((a, b) => a - b)).toEqual(
      numbersOf("TensorProto.DataType").filter((code) => code > 0 && code < 27),
    );
  });
});
