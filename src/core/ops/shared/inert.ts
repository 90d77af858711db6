/** Builds operators without gradients, cuts and quantization, all for one reason. */
import type { Miss } from "../../errors.ts";
import { defineOp, type Op, type OpDef } from "../define.ts";

type Row<S> = Pick<OpDef<S>, Exclude<keyof OpDef<S>, "axes" | "quantize">>;

export function inert<S = null>(reason: Miss, row: Row<S>): Op {
  const { read = () => null as S, parameters = [], cost = () => 0, gradient = reason, ...rest } = row;
  return defineOp<S>({ ...rest, read, parameters, cost, gradient, axes: reason, quantize: reason });
}
