/** A row for operators of which Pith knows the types and leaves the rest alone, with the reason. */
import { Miss } from "../../errors.ts";
import { alwaysChanges, defineOp, noParameters, type Op, type OpDef } from "../define.ts";
import { noMacs } from "../shared/rules.ts";

export interface Typed<S> extends Pick<OpDef<S>, "name" | "read" | "infer"> {
  /** Why no technique touches it. */
  readonly why: string;
  readonly parameters?: OpDef<S>["parameters"];
  readonly cost?: OpDef<S>["cost"];
  readonly weight?: OpDef<S>["weight"];
}

/** An operator of com.microsoft that is opened, typed and run, and otherwise left alone. */
export function typed<S>({ name, read, infer, why, parameters, cost, weight }: Typed<S>): Op {
  const alone = new Miss(why);
  return defineOp<S>({
    name,
    domain: "com.microsoft",
    read,
    infer,
    unchanged: alwaysChanges,
    parameters: parameters ?? noParameters,
    weight: weight ?? alone,
    axes: alone,
    lower: alone,
    gradient: alone,
    cost: cost ?? noMacs,
    quantize: alone,
  });
}
