/** Builders of definitions for operators that Pith types, counts and runs, but does not train, cut or quantize. */
import { Miss } from "../../errors.ts";
import { type Complete, defineOp, type Op, type OpDef } from "../define.ts";

type Row<S> = Pick<OpDef<S>, Exclude<keyof OpDef<S>, "axes" | "quantize">>;

/** Defines an operator without gradients, cuts and quantization, all for one reason. */
export function inert<S = null>(reason: Miss, row: Row<S>): Op {
  const { read = () => null as S, parameters = [], cost = () => 0, gradient = reason, ...rest } = row;
  return defineOp<S>({ ...rest, read, parameters, cost, gradient, axes: reason, quantize: reason });
}

export const microsoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });

/** ONNX Runtime has these operators on GPUs only. A rewrite could not be tested, because nothing here runs them. */
export const gpuOnly = "ONNX Runtime runs it on GPUs only";

interface Typed<S>
  extends Pick<OpDef<S>, "name" | "read" | "infer" | "parameters" | "cost" | "weight" | "needsFloat32"> {
  readonly reason: string;
}

/** Defines a com.microsoft operator that Pith types and runs, but does not transform. */
export function defineTyped<S = null>({ reason, ...row }: Typed<S>): Op {
  const miss = new Miss(reason);
  return inert<S>(miss, { weight: miss, lower: miss, ...row, domain: "com.microsoft" });
}
