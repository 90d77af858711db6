/** Recipes for workers may use named techniques and known modules, but no files outside the store. */

import { PithError } from "../../../core/errors.ts";
import type { OptionValues } from "../../../core/pass/pass.ts";
import { isObject } from "../../../core/plain.ts";
import { withOptions } from "../../../judge/recipe/pass-steps.ts";
import { steps } from "../../../judge/recipe/steps.ts";
import { parseRecipe, type RecipeStep, recipeText } from "../../../search/recipes.ts";
import { isCode, type Rename } from "./modules.ts";

/**
 * Renames the modules in the text of a recipe.
 * @throws PithError E_OPTION for a text that is not a recipe, or that names another file.
 */
export async function withRecipeModules(text: string, rename: Rename): Promise<string> {
  const recipe = await withOptions(parseRecipe(text), async (step) => {
    requireNoFiles(step);
    return (await renamedIn(step.options, rename)) as OptionValues;
  });
  return recipeText(recipe);
}

function requireNoFiles({ id, options }: RecipeStep): void {
  const { reference, restores, furtherReferences, command } = steps.get(id) ?? {};
  const named = [reference, restores, furtherReferences, ...(command?.reads ?? []), ...(command?.writes ?? [])];
  const texts = named.flatMap((name) => (name === undefined ? [] : [options[name]].flat()));
  const file = texts.find((text) => typeof text === "string" && text !== "original");
  if (file === undefined) return;
  throw new PithError("E_OPTION", `${id}: "${file}" is a file of this machine: workers of a queue do not have it.`, {
    hint: "Run the recipe without --queue.",
  });
}

export async function renamedIn(value: unknown, rename: Rename): Promise<unknown> {
  if (typeof value === "string") return isCode(value) ? rename(value) : value;
  if (Array.isArray(value)) return Promise.all(value.map((one) => renamedIn(one, rename)));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(async ([name, one]) => [name, await renamedIn(one, rename)] as const);
  return Object.fromEntries(await Promise.all(entries));
}
