import type { Layer } from "../analysis/layers.ts";
import { Miss, PithError } from "../errors.ts";
import { type Matrix, type Multiply, type Surgeon, surgeonFor } from "../math/index.ts";

/** What is needed to make good what changes in a layer, of the Gram matrices of its inputs (`math/obs.ts`). @throws PithError E_DATA where they are of no use. */
export async function surgeonsFor(
  { name }: Layer,
  grams: readonly Matrix[],
  multiply: Multiply,
): Promise<readonly Surgeon[]> {
  const surgeons: Surgeon[] = [];
  for (const gram of grams) {
    const surgeon = await surgeonFor(gram, multiply);
    if (surgeon instanceof Miss)
      throw new PithError("E_DATA", `of what comes into it ${surgeon.reason}.`, { at: `Layer "${name}"` });
    surgeons.push(surgeon);
  }
  return surgeons;
}
