/** Rows for operators through which nothing is trained, cut or rounded, for one reason: what they give is no function of numbers. */
import type { Miss } from "../../errors.ts";
import { alwaysChanges, defineOp, noParameters, type Op, type OpDef } from "../define.ts";
import { noWeight, primitive } from "./misses.ts";
import { noMacs } from "./rules.ts";

type Row<S> = Pick<OpDef<S>, "name" | "read" | "infer"> & Partial<Pick<OpDef<S>, "unchanged" | "random" | "gradient">>;

export function inert<S>(reason: Miss, row: Row<S>): Op {
  return defineOp<S>({
    unchanged: alwaysChanges,
    parameters: noParameters,
    weight: noWeight,
    axes: reason,
    lower: primitive,
    gradient: reason,
    cost: noMacs,
    quantize: reason,
    ...row,
  });
}
