/** The table of decompositions, which defines flag, help and recipe key. */
import { Miss } from "../../core/errors.ts";
import { type Decomposition, type Problem, product } from "./decomposition.ts";
import { inputChannels, spatial, svd } from "./svd.ts";
import { tucker2 } from "./tucker2.ts";

const table = {
  svd,
  "input-channels": inputChannels,
  spatial,
  tucker2,
} as const satisfies Record<string, Decomposition>;

export type Method = keyof typeof table;
export const methods = Object.keys(table) as readonly Method[];
export const decompositions: Readonly<Record<Method, Decomposition>> = table;

/** Returns the applicable methods, all or the given one; the first refusal if there is none. */
export function methodsFor(problem: Problem, method: Method | "auto"): readonly Method[] | Miss {
  const [{ columns } = { columns: 0 }, ...others] = problem.matrices;
  if (others.length > 0 && columns === product(problem.kernel))
    return new Miss("it is depthwise: it does not mix channels");
  const found: Method[] = [];
  let refused: Miss | undefined;
  for (const id of method === "auto" ? methods : [method]) {
    const own =
      decompositions[id].refuses(problem) ??
      (problem.inputs !== undefined && id !== "svd"
        ? new Miss("only `svd` can use `activations`: its first layer reads whole windows")
        : undefined);
    if (own === undefined) found.push(id);
    else refused ??= own;
  }
  return found.length > 0 || refused === undefined ? found : refused;
}
