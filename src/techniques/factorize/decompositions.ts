/** The table of decompositions. Its keys are the values of the option `method` in flags, help and recipes. */
import { Miss } from "#ir";
import { type Decomposition, type Problem, product } from "./decomposition.ts";
import { inputChannelSvd, spatial, svd } from "./svd.ts";

const table = { svd, "input-channels": inputChannelSvd, spatial } as const satisfies Record<string, Decomposition>;

export type Method = keyof typeof table;
export const methods = Object.keys(table) as readonly Method[];
export const decompositions: Readonly<Record<Method, Decomposition>> = table;

/** Returns the methods that support the layer; if none does, the first reason. */
export function selectMethods(problem: Problem, method: Method | "auto"): readonly Method[] | Miss {
  const [{ columns } = { columns: 0 }] = problem.matrices;
  if (problem.matrices.length > 1 && columns === product(problem.kernel))
    return new Miss("it is depthwise: it does not mix channels");
  const applicable: Method[] = [];
  let firstRefusal: Miss | undefined;
  for (const id of method === "auto" ? methods : [method]) {
    const refusal =
      decompositions[id].refuses(problem) ??
      (problem.inputs !== undefined && id !== "svd"
        ? new Miss("only `svd` can use `activations`: its first layer reads whole windows")
        : undefined);
    if (refusal === undefined) applicable.push(id);
    else firstRefusal ??= refusal;
  }
  return applicable.length > 0 || firstRefusal === undefined ? applicable : firstRefusal;
}
