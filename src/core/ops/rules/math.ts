/** Rules for pairs of arithmetic operators: a product and a sum, two casts, a recurrent layer and its initial state. */
import { type DataType, type Dim, Miss, sameDims, type Value } from "#graph";
import { readInteger, readIntegers } from "../shared/attributes.ts";
import { broadcast, isConstant } from "../shared/shapes.ts";
import { emitNamed, type PairRule, type PairScope } from "./rule.ts";

/** float32 and float64 only, because ONNX Runtime's float16 Gemm is slow. */
const gemmPair: PairRule = {
  id: "gemm",
  description: "a MatMul and the Add after it become a Gemm",
  first: ["MatMul"],
  second: ["Add"],
  reorders: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, input, isOnlyReader } = scope;
    const [a, b] = first.inputs;
    const c = second.inputs[1 - input];
    const [factor, matrix] = firstSite.inputs;
    const [product, addend] = [secondSite.inputs[input], secondSite.inputs[1 - input]];
    if (!isOnlyReader || a === undefined || b === undefined || c === undefined || secondSite.version < 7)
      return undefined;
    if (factor?.dims?.length !== 2 || matrix?.dims?.length !== 2) return undefined;
    if (factor.type !== "float32" && factor.type !== "float64") return undefined;
    if (product?.dims === undefined || addend?.dims === undefined) return undefined;
    const dims = broadcast(product.dims, addend.dims);
    if (dims instanceof Miss || !sameDims(dims, product.dims) || addend.dims.length > 2) return undefined;
    const alignsWithProduct = (dim: Dim, axis: number): boolean =>
      dim === 1 || dim === product.dims?.[axis + 2 - (addend.dims?.length ?? 0)];
    if (!addend.dims.every(alignsWithProduct)) return undefined;
    const value = emitNamed(scope).Gemm([a, b, c]);
    if (value.producer !== undefined) value.producer.name = first.name;
    return { value };
  },
};

export const transposedGemmPair: PairRule = {
  id: "transposed-gemm",
  description: "the transposition moves into Gemm",
  first: ["Transpose"],
  second: ["Gemm"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input, isOnlyReader }) {
    const perm = readIntegers(firstSite, "perm") ?? [1, 0];
    if (!isOnlyReader || input > 1 || firstSite.inputs[0]?.dims?.length !== 2 || perm[0] !== 1) return undefined;
    const name = input === 0 ? "transA" : "transB";
    const value = 1 - readInteger(secondSite, name, 0);
    return { inputs: second.inputs.with(input, first.inputs[0]), attributes: { [name]: { kind: "int", value } } };
  },
};

/** The types that represent all values of a type exactly. */
const widerTypes: Readonly<Partial<Record<DataType, readonly DataType[]>>> = {
  bool: ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"],
  uint8: ["uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"],
  int8: ["int16", "int32", "int64", "float16", "float32", "float64"],
  uint16: ["uint32", "int32", "uint64", "int64", "float32", "float64"],
  int16: ["int32", "int64", "float32", "float64"],
  uint32: ["uint64", "int64", "float64"],
  int32: ["int64", "float64"],
  float16: ["float32", "float64"],
  bfloat16: ["float32", "float64"],
  float32: ["float64"],
};

const castPair: PairRule = {
  id: "wider-cast",
  description: "a Cast through a wider type is removed",
  first: ["Cast", "CastLike"],
  second: ["Cast"],
  fuse({ first, firstSite, secondSite }) {
    const [sourceType, intermediateType] = [firstSite.inputs[0]?.type, secondSite.inputs[0]?.type];
    if (sourceType === undefined || intermediateType === undefined) return undefined;
    if (sourceType !== intermediateType && widerTypes[sourceType]?.includes(intermediateType) !== true)
      return undefined;
    return { inputs: [first.inputs[0]] };
  },
};

const movingOperators = [
  "Expand",
  "Slice",
  "Transpose",
  "Reshape",
  "Squeeze",
  "Unsqueeze",
  "Gather",
  "Identity",
  "Tile",
];

/** Zeros are the default state of recurrent layers. */
const zeroStatePair: PairRule = {
  id: "zero-state",
  description: "an initial state of zeros is omitted",
  first: ["ConstantOfShape", ...movingOperators],
  second: ["LSTM", "GRU", "RNN"],
  fuse({ second, input, operand }) {
    if (input !== 5 && input !== 6) return undefined;
    const value = second.inputs[input];
    return value !== undefined && isZero(value, operand) ? { inputs: second.inputs.with(input, undefined) } : undefined;
  },
};

function isZero(value: Value, operandOf: PairScope["operand"]): boolean {
  if (isConstant(operandOf(value), 0)) return true;
  const { producer } = value;
  const [source] = producer?.inputs ?? [];
  if (producer === undefined || source === undefined || producer.domain !== "") return false;
  if (movingOperators.includes(producer.op)) return isZero(source, operandOf);
  if (producer.op !== "ConstantOfShape") return false;
  const fill = producer.attributes.get("value");
  const small = fill?.kind === "tensor" ? fill.value.small : undefined;
  if (fill === undefined) return true;
  return small !== undefined && small.type !== "string" && Number(small.data[0]) === 0;
}

export const mathPairs: readonly PairRule[] = [gemmPair, transposedGemmPair, castPair, zeroStatePair];
