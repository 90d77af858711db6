/** What `compress` tried before it searched. */
import { recipeFrom } from "../../src/judge/recipe/recipe.ts";

export const formats = [
  { scheme: "static" },
  { scheme: "dynamic" },
  { scheme: "weights" },
  { scheme: "weights", bits: 4, rounder: "k-quant" },
  { scheme: "float16" },
].map((quantize) => ({ name: Object.values(quantize).join(" "), recipe: recipeFrom({ steps: [{ quantize }] }) }));
