/** What is tried where no recipe is given. */
import { recipeFrom } from "./recipe.ts";
import type { Candidate } from "./variant.ts";

/**
 * Eight bits, in the three ways there are: they need no training, and little or no data.
 * @param calibrated whether there are samples to measure ranges on.
 */
export function defaultPlan(calibrated: boolean): readonly Candidate[] {
  const quantized = (scheme: string): Candidate => ({
    name: `int8 ${scheme}`,
    recipe: recipeFrom({ steps: [{ quantize: { scheme } }] }),
  });
  return [...(calibrated ? [quantized("static")] : []), quantized("dynamic"), quantized("weights")];
}
