import type { Layer } from "../../core/analysis/layers.ts";
import { Miss, PithError } from "../../core/errors.ts";
import { type Matrix, type Multiply, type Surgeon, surgeonFor } from "../../core/math/index.ts";

/**
 * Inverts the Gram matrices of layer inputs for error compensation (`core/math/optimal-brain-surgeon.ts`).
 * @param damping share of the mean of the diagonal that is added to it. @throws PithError E_DATA if they are singular.
 */
export async function surgeonsFor(
  { name }: Layer,
  grams: readonly Matrix[],
  multiply: Multiply,
  damping?: number,
): Promise<readonly Surgeon[]> {
  const surgeons: Surgeon[] = [];
  for (const gram of grams) {
    const surgeon = await surgeonFor(gram, multiply, damping);
    if (surgeon instanceof Miss)
      throw new PithError("E_DATA", `of what comes into it ${surgeon.reason}.`, { at: `Layer "${name}"` });
    surgeons.push(surgeon);
  }
  return surgeons;
}
