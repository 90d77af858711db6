/** The table of decompositions: flag, help and the recipe's key come from it. */
import type { Decomposition } from "./decomposition.ts";
import { inputChannels, spatial, svd } from "./svd.ts";
import { tucker2 } from "./tucker2.ts";

const table = { svd, "input-channels": inputChannels, spatial, tucker2 } as const satisfies Record<
  string,
  Decomposition
>;

export type Method = keyof typeof table;
export const methods = Object.keys(table) as readonly Method[];
export const decompositions: Readonly<Record<Method, Decomposition>> = table;
