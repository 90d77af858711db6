import { Miss } from "../../errors.ts";
import { type Complete, defineOp, type Op, type OpDef } from "../define.ts";
import { inert } from "../shared/inert.ts";

export const microsoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });

/** ONNX Runtime has these operators on GPUs only. A rewrite could not be tested, because nothing here runs them. */
export const gpuOnly = "ONNX Runtime runs it on GPUs only";

interface Typed<S>
  extends Pick<OpDef<S>, "name" | "read" | "infer" | "parameters" | "cost" | "weight" | "needsFloat32"> {
  readonly why: string;
}

/** Defines a com.microsoft operator that Pith types and runs, but does not transform. */
export function typed<S = null>({ why, ...row }: Typed<S>): Op {
  const alone = new Miss(why);
  return inert<S>(alone, { weight: alone, lower: alone, ...row, domain: "com.microsoft" });
}
