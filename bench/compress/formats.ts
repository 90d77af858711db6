/** The number formats that `compress` tried before it had a search: the baseline of the bench. */
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";

export const formats = [
  { scheme: "static" },
  { scheme: "dynamic" },
  { scheme: "weights" },
  { scheme: "weights", bits: 4, rounder: "mse", zeroPoints: true },
  { scheme: "float16" },
].map((quantize) => ({ name: Object.values(quantize).join(" "), recipe: recipeFrom({ steps: [{ quantize }] }) }));
