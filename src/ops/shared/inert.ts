/** Rows for operators through which nothing is trained, cut or rounded, for one reason: what they give is no function of numbers. */
import type { Miss } from "../../errors.ts";
import { defineOp, type Op, type OpDef } from "../define.ts";

type Row<S> = Pick<OpDef<S>, "name" | "read" | "infer"> & Partial<Pick<OpDef<S>, "unchanged" | "random" | "gradient">>;

export function inert<S>(reason: Miss, row: Row<S>): Op {
  return defineOp<S>({
    axes: reason,
    gradient: reason,
    quantize: reason,
    ...row,
  });
}
