/** Defines operators that Pith cannot train, prune or quantize: only types, shapes and cost are known. */
import { Miss } from "../../errors.ts";
import { type Complete, defineOp, type Op, type OpDef } from "../define.ts";

type InertDefinition<S> = Pick<OpDef<S>, Exclude<keyof OpDef<S>, "axes" | "quantize">>;

/** Defines an operator without gradients, removal of channels and quantization. `reason` is the reason for all three. */
export function defineInert<S = null>(reason: Miss, row: InertDefinition<S>): Op {
  const { read = () => null as S, parameters = [], cost = () => 0, gradient = reason, ...rest } = row;
  return defineOp<S>({ ...rest, read, parameters, cost, gradient, axes: reason, quantize: reason });
}

export const defineMicrosoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });

/** The reason for operators that ONNX Runtime implements on GPUs only, so that a rewrite cannot be tested on a CPU. */
export const gpuOnly = "ONNX Runtime runs it on GPUs only";

interface TypedDefinition<S>
  extends Pick<OpDef<S>, "name" | "read" | "infer" | "parameters" | "cost" | "weight" | "needsFloat32"> {
  readonly reason: string;
}

/** Defines a com.microsoft operator with types and shapes, but without lowering, gradients, removal of channels and quantization. */
export function defineInertOp<S = null>({ reason, ...row }: TypedDefinition<S>): Op {
  const miss = new Miss(reason);
  return defineInert<S>(miss, { weight: miss, lower: miss, ...row, domain: "com.microsoft" });
}
