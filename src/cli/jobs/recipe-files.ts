/** Recipes for workers of a queue, which run techniques by their names, but no code, and read and write no other files than those of the store. */
import * as v from "valibot";
import { PithError } from "../../errors.ts";
import { parseRecipe, type RecipeStep, steps } from "../../recipe/index.ts";
import { isRepeat } from "../../recipe/recipe.ts";

const schema = v.object({ recipe: v.string() });

/** @throws PithError E_OPTION for an input without a recipe, or with one that is none or names a file. */
export function requireNoFiles(input: object): void {
  const { success, output } = v.safeParse(schema, input);
  if (!success) throw new PithError("E_OPTION", "The queue asks for a recipe, and has none.");
  const recipe = parseRecipe(output.recipe);
  for (const step of recipe.steps.flatMap((one) => (isRepeat(one) ? one.steps : [one]))) {
    const [file] = filesOf(step);
    if (file === undefined) continue;
    throw new PithError(
      "E_OPTION",
      `${step.id}: "${file}" is a file of this machine: workers of a queue do not have it.`,
      {
        hint: "Run the recipe without --queue.",
      },
    );
  }
}

/** Modules at any depth, and the files that a pass reads or writes. */
function filesOf({ id, options }: RecipeStep): readonly string[] {
  const { reference, restores, furtherReferences, command } = steps.get(id) ?? {};
  const named = [reference, restores, furtherReferences, ...(command?.reads ?? []), ...(command?.writes ?? [])];
  return Object.entries(options).flatMap(([name, value]) =>
    textsIn(value).filter((text) => (named.includes(name) ? text !== "original" : /\.[cm]?[jt]s$/i.test(text))),
  );
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
