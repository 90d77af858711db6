/** Codes and the numbers that they stand for, as nodes: what operators on integers are lowered with, and their types. */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { DataType } from "../../tensor/types.ts";
import type { Coded, CodedInput, Site } from "../define.ts";
import { scalar } from "./rules.ts";

/** A vector of one, which stands for one number for all, as a scalar. */
export function single(emit: Emit, value: Value | undefined): Value | undefined {
  const dims = value?.type?.dims;
  const alone = value !== undefined && dims?.length === 1 && dims[0] === 1;
  return alone ? emit.Squeeze([value, [0]]) : value;
}

/** (codes - zero) · scale; a vector of scales lies along `axis`. */
export function decoded(
  emit: Emit,
  codes: Value | undefined,
  scale: Value | undefined,
  zero: Value | undefined,
  axis = 1,
): Value {
  const along = (scale?.type?.dims?.length ?? 0) === 0 ? {} : { axis };
  return emit.DequantizeLinear([codes, single(emit, scale), single(emit, zero)], along);
}

/** round(x / scale) + zero, in the type of `zero`, or in uint8. */
export function encoded(emit: Emit, x: Value, scale: Value | undefined, zero: Value | undefined): Value {
  return emit.QuantizeLinear([x, single(emit, scale), single(emit, zero) ?? scalar(emit, "uint8", 0)]);
}

/** The type of codes that come out: that of their zero point, else that of an input. */
export function codeType(site: Site, zero: number, like = 0): DataType {
  return site.inputs[zero]?.type ?? site.inputs[like]?.type ?? "uint8";
}

export const parts = ({ codes, scale, zeroPoint }: Coded): readonly Value[] => [codes, scale, zeroPoint];

/** Two operands with their scales and zero points behind them. */
export const twoCoded: readonly CodedInput[] = [0, 3].map((input) => ({
  input,
  scale: input + 1,
  zeroPoint: input + 2,
}));
