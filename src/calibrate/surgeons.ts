import type { Layer } from "../analysis/layers.ts";
import { Miss, PithError } from "../errors.ts";
import { type Matrix, type Surgeon, surgeonFor } from "../math/index.ts";

/** What is needed to make good what changes in a layer, of the Gram matrices of its inputs (`math/obs.ts`). @throws PithError E_DATA where they are of no use. */
export const surgeonsFor = ({ name }: Layer, grams: readonly Matrix[]): readonly Surgeon[] =>
  grams.map((gram) => {
    const surgeon = surgeonFor(gram);
    if (surgeon instanceof Miss)
      throw new PithError("E_DATA", `Layer "${name}": of what comes into it ${surgeon.reason}.`);
    return surgeon;
  });
