/** Defines operators that Pith cannot quantize, and of which it mostly knows only types, shapes and cost; and operators of com.microsoft. */
import type { Miss } from "#graph";
import { type AxisLink, type Complete, defineOp, type Op, type OpDef } from "../define.ts";

type InertDefinition<S> = Pick<OpDef<S>, Exclude<keyof OpDef<S>, "axes" | "quantize">> &
  Partial<Pick<OpDef<S>, "axes">>;

/** Defines an operator without quantization. `reason` is the reason for it, and for a gradient or axis links that `row` leaves out. */
export function defineInert<S = null>(reason: Miss, row: InertDefinition<S>): Op {
  const { read = () => null as S, parameters = [], cost = () => 0, gradient = reason, ...rest } = row;
  return defineOp<S>({ axes: reason, ...rest, read, parameters, cost, gradient, quantize: reason });
}

/** Links the channels of images and of their regions, both N × C × …: each channel is sampled alone. */
export const linkChannels = (): readonly AxisLink[] => [{ from: ["in0", 1], to: ["out0", 1] }];

export const defineMicrosoftOp = <S = null>(def: OpDef<S> & Complete<S>): Op =>
  defineOp<S>({ ...def, domain: "com.microsoft" });
