/** Defines operators that Pith cannot quantize, and operators of com.microsoft. */
import type { Miss } from "#graph";
import { type AxisLink, type Complete, defineOp, type Op, type OpDef } from "../define.ts";

type InertDefinition<S> = Pick<OpDef<S>, Exclude<keyof OpDef<S>, "axes" | "quantize">> &
  Partial<Pick<OpDef<S>, "axes">>;

/** Defines an operator without quantization. `reason` also stands for a missing gradient or missing axis links. */
export function defineInert<S = null>(reason: Miss, row: InertDefinition<S>): Op {
  const { read = () => null as S, parameters = [], cost = () => 0, gradient = reason, ...rest } = row;
  return defineOp<S>({ axes: reason, ...rest, read, parameters, cost, gradient, quantize: reason });
}

/** Channels of images and of their regions, both N × C × …, are sampled alone. */
export const linkChannels = (): readonly AxisLink[] => [{ from: ["in0", 1], to: ["out0", 1] }];

export const defineMicrosoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });
