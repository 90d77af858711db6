/** The table of decompositions: flag, help and the recipe's key come from it. */
import { Miss } from "../errors.ts";
import { type Decomposition, type Prepared, type Problem, product } from "./decomposition.ts";
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

export interface Candidate {
  readonly method: Method;
  readonly prepared: Prepared;
}

/** What a method could make of a layer, or each of them; the first reason, where none makes anything of it. */
export async function candidatesFor(problem: Problem, method: Method | "auto"): Promise<readonly Candidate[] | Miss> {
  const [{ columns } = { columns: 0 }, ...others] = problem.matrices;
  if (others.length > 0 && columns === product(problem.kernel))
    return new Miss("it is depthwise: no channels are mixed");
  const found: Candidate[] = [];
  let refused: Miss | undefined;
  for (const id of method === "auto" ? methods : [method]) {
    const prepared = await decompositions[id].prepare(problem);
    if (prepared instanceof Miss) refused ??= prepared;
    else found.push({ method: id, prepared });
  }
  return found.length > 0 || refused === undefined ? found : refused;
}
