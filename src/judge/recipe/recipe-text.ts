/** Reads and writes recipes as YAML and JSON. */
import { stringify } from "yaml";
import { isObject, optionError } from "#ir";
import type { AnyPass } from "#pass";
import { passesById } from "./built-in-passes.ts";
import { checkRecipe } from "./check-recipe.ts";
import { isRepeat, type Recipe, type RecipeStep } from "./recipe.ts";
import { readYaml } from "./yaml-source.ts";

/**
 * Reads a recipe from YAML or JSON.
 * @param name the file's name in errors.
 * @param passes custom passes in addition to Pith's.
 * @throws PithError E_OPTION with file, line and column of the first error, the accepted values, and the nearest name for a typo.
 * @example
 * const recipe = parseRecipe("steps:\n  - quantize: { scheme: dynamic }\n", "recipe.yaml");
 */
export function parseRecipe(text: string, name = "recipe", passes: readonly AnyPass[] = []): Recipe {
  return checkRecipe(readYaml(text, name, 'Use "repeat" for steps that come again.'), passesById(passes));
}

/** Formats a recipe as YAML. @throws PithError E_OPTION for an option that is a function, a model or a data set. */
export function recipeText(recipe: Recipe): string {
  const toPlainStep = ({ id, options, judge }: RecipeStep): object => ({
    [id]: options,
    ...(judge === undefined ? {} : { judge }),
  });
  const steps = recipe.steps.map((entry) =>
    isRepeat(entry) ? { repeat: entry.repeat, steps: entry.steps.map(toPlainStep) } : toPlainStep(entry),
  );
  const assertPlain = (key: unknown, value: unknown): unknown => {
    const isOfClass = typeof value === "object" && value !== null && !Array.isArray(value) && !isObject(value);
    if (typeof value !== "function" && !isOfClass) return value;
    const kind = isOfClass ? "an object" : "a function";
    throw optionError(`"${String(key)}" is ${kind}, which a recipe in text cannot have.`);
  };
  const { version, samples } = recipe;
  return stringify({ version, ...(samples && { samples }), steps }, assertPlain, { lineWidth: 120 });
}
