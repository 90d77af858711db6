/** Pairs that compute: products with sums, casts, repeated operators. */
import { Miss } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { type Dim, sameDims } from "../../tensor/dims.ts";
import type { DataType } from "../../tensor/types.ts";
import { readInteger, readIntegers } from "../shared/attributes.ts";
import { broadcast, isConstant } from "../shared/rules.ts";
import type { Pair, PairScope } from "./pair.ts";

/** A matrix product plus a bias is a Gemm. float32 and float64 only: ONNX Runtime's float16 Gemm is slow. */
const gemm: Pair = {
  what: "a MatMul and the Add after it become a Gemm",
  first: ["MatMul"],
  second: ["Add"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input, alone, emit }) {
    const [a, b] = first.inputs;
    const c = second.inputs[1 - input];
    const [factor, matrix] = firstSite.inputs;
    const [product, added] = [secondSite.inputs[input], secondSite.inputs[1 - input]];
    if (!alone || a === undefined || b === undefined || c === undefined || secondSite.version < 7) return undefined;
    if (factor?.dims?.length !== 2 || matrix?.dims?.length !== 2) return undefined;
    if (factor.type !== "float32" && factor.type !== "float64") return undefined;
    if (product?.dims === undefined || added?.dims === undefined) return undefined;
    const dims = broadcast(product.dims, added.dims);
    if (dims instanceof Miss || !sameDims(dims, product.dims) || added.dims.length > 2) return undefined;
    // Dimensions are known to be equal only if their names are.
    const fits = (dim: Dim, axis: number): boolean =>
      dim === 1 || dim === product.dims?.[axis + 2 - (added.dims?.length ?? 0)];
    if (!added.dims.every(fits)) return undefined;
    const value = emit.named(second.outputs[0]?.name ?? "gemm").Gemm([a, b, c]);
    if (value.producer !== undefined) value.producer.name = first.name;
    return { value };
  },
};

export const transposedGemm: Pair = {
  what: "the transposition moves into Gemm",
  first: ["Transpose"],
  second: ["Gemm"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input, alone }) {
    const perm = readIntegers(firstSite, "perm") ?? [1, 0];
    if (!alone || input > 1 || firstSite.inputs[0]?.dims?.length !== 2 || perm[0] !== 1) return undefined;
    const name = input === 0 ? "transA" : "transB";
    const value = 1 - readInteger(secondSite, name, 0);
    return { inputs: second.inputs.with(input, first.inputs[0]), attributes: { [name]: { kind: "int", value } } };
  },
};

const idempotent: Pair = {
  what: "applied twice is the same as once",
  first: ["Relu", "Abs", "Ceil", "Floor", "Round", "Sign"],
  second: ["Relu", "Abs", "Ceil", "Floor", "Round", "Sign"],
  same: true,
  fuse: ({ second }) => (second.inputs[0] === undefined ? undefined : { value: second.inputs[0] }),
};

const undone: Pair = {
  what: "applied twice cancels out",
  first: ["Not", "Neg"],
  second: ["Not", "Neg"],
  same: true,
  fuse: ({ first }) => (first.inputs[0] === undefined ? undefined : { value: first.inputs[0] }),
};

/** The types that represent every value of another type exactly. */
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

const casts: Pair = {
  what: "a Cast through a wider type is removed",
  first: ["Cast", "CastLike"],
  second: ["Cast"],
  fuse({ first, firstSite, secondSite }) {
    const [from, between] = [firstSite.inputs[0]?.type, secondSite.inputs[0]?.type];
    if (from === undefined || between === undefined) return undefined;
    if (from !== between && widerTypes[from]?.includes(between) !== true) return undefined;
    return { inputs: [first.inputs[0]] };
  },
};

/** Operators that only move, repeat or select elements of input 0. */
const moving = ["Expand", "Slice", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Gather", "Identity", "Tile"];

/** Zero initial states are the default of recurrent layers. */
const zeroStates: Pair = {
  what: "an initial state of zeros is omitted",
  first: ["ConstantOfShape", ...moving],
  second: ["LSTM", "GRU", "RNN"],
  fuse({ second, input, operand }) {
    if (input !== 5 && input !== 6) return undefined;
    const value = second.inputs[input];
    return value !== undefined && isZero(value, operand) ? { inputs: second.inputs.with(input, undefined) } : undefined;
  },
};

function isZero(value: Value, operand: PairScope["operand"]): boolean {
  if (isConstant(operand(value), 0)) return true;
  const { producer } = value;
  const [source] = producer?.inputs ?? [];
  if (producer === undefined || source === undefined || producer.domain !== "") return false;
  if (moving.includes(producer.op)) return isZero(source, operand);
  if (producer.op !== "ConstantOfShape") return false;
  const fill = producer.attributes.get("value");
  const small = fill?.kind === "tensor" ? fill.value.small : undefined;
  if (fill === undefined) return true;
  return small !== undefined && small.type !== "string" && Number(small.data[0]) === 0;
}

export const mathPairs: readonly Pair[] = [gemm, transposedGemm, idempotent, undone, casts, zeroStates];
