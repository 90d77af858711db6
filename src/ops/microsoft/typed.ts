/** A row for operators of which Pith knows the types and leaves the rest alone, with the reason. */
import { Miss } from "../../errors.ts";
import { defineOp, type Op, type OpDef } from "../define.ts";

export interface Typed<S> extends Pick<OpDef<S>, "name" | "read" | "infer"> {
  /** Why no technique touches it. */
  readonly why: string;
  readonly parameters?: OpDef<S>["parameters"];
  readonly cost?: OpDef<S>["cost"];
  readonly weight?: OpDef<S>["weight"];
}

/** An operator of com.microsoft that is opened, typed and run, and otherwise left alone. */
export function typed<S>(row: Typed<S>): Op {
  const { name, read, infer, why, weight } = row;
  const { parameters = () => [], cost = () => ({ macs: 0 }) } = row;
  const alone = new Miss(why);
  return defineOp<S>({
    name,
    domain: "com.microsoft",
    read,
    infer,
    parameters,
    weight: weight ?? alone,
    axes: alone,
    lower: alone,
    gradient: alone,
    cost,
    quantize: alone,
  });
}
