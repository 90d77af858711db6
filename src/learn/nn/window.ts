import { PithError } from "../../core/errors.ts";
import { requireCount } from "./module.ts";

/** Returns one number per axis. @throws PithError E_OPTION for another count, or a number below `least`. */
export function perAxis(what: string, given: number | readonly number[], axes: number, least: number): number[] {
  const each = typeof given === "number" ? new Array<number>(axes).fill(given) : [...given];
  if (each.length !== axes)
    throw new PithError("E_OPTION", `${what} must be one number or ${axes}, got ${each.length}.`);
  return each.map((value) => requireCount(what, value, least));
}

export function spatialNames(axes: number): readonly string[] {
  return axes === 1 ? ["length"] : ["height", "width"];
}
