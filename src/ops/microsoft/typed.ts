/** Entries of com.microsoft: written out, or of operators of which Pith knows the types and leaves the rest alone, with the reason. */
import { Miss } from "../../errors.ts";
import { type Complete, defineOp, type Op, type OpDef } from "../define.ts";
import { inert } from "../shared/inert.ts";

export const microsoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });

interface Typed<S>
  extends Pick<OpDef<S>, "name" | "read" | "infer" | "parameters" | "cost" | "weight" | "needsFloat32"> {
  readonly why: string;
}

/** An operator of com.microsoft that is opened, typed and run, and otherwise left alone. */
export function typed<S = null>({ why, ...row }: Typed<S>): Op {
  const alone = new Miss(why);
  return inert<S>(alone, { weight: alone, lower: alone, ...row, domain: "com.microsoft" });
}
