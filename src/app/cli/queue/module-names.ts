/** Names the user's modules in jobs by content hash, so that a worker imports only its own file with this hash. */
import { basename, resolve } from "node:path";
import { isObject, optionError } from "#ir";
import type { OptionValues } from "#pass";
import { readFile } from "#platform";
import { sha256Text } from "../../../core/files/hash.ts";
import { filesOfStep, withOptions } from "../../../judge/recipe/pass-steps.ts";
import type { RecipeStep } from "../../../judge/recipe/recipe.ts";
import { parseRecipe, recipeText } from "../../../judge/recipe/recipe-text.ts";
import type { SharedInput } from "./job-inputs.ts";

export type RenameModule = (module: string) => Promise<string>;

/** Returns whether a path is a module. The path is resolved as for an import, so "rows.mjs/." is "rows.mjs". */
export const isCode = (path: string): boolean => /\.[cm]?[jt]s$/i.test(resolve(path));

/** Returns a module's name in jobs: "modules/e3b0c442…/rows.mjs". @throws PithError E_FILE. */
export async function nameInJobs(path: string): Promise<string> {
  return `modules/${await sha256Text([await readFile(path)])}/${basename(path)}`;
}

/** Returns a function that finds a module by its name in jobs, or throws E_OPTION. @throws PithError E_FILE. */
export async function createModuleFinder(paths: readonly string[]): Promise<RenameModule> {
  const names = paths.map(async (path) => [await nameInJobs(path), resolve(path)] as const);
  const pathByName = new Map(await Promise.all(names));
  return async (name) => {
    const path = pathByName.get(name);
    if (path !== undefined) return path;
    throw optionError(`"${name}" is code that this worker was not started with: --modules ${basename(name)}.`, {
      hint: "Name and content (SHA-256) must be those of the file where the command runs.",
    });
  };
}

/** Renames modules in an input. @throws PithError E_OPTION for a recipe that names other local files. */
export async function withModules<I extends SharedInput>(input: I, rename: RenameModule): Promise<I> {
  const { path } = input.data;
  const renamedInput = isCode(path) ? { ...input, data: { ...input.data, path: await rename(path) } } : input;
  return "recipe" in renamedInput && typeof renamedInput.recipe === "string"
    ? { ...renamedInput, recipe: await withRecipeModules(renamedInput.recipe, rename) }
    : renamedInput;
}

export async function modulesOf(input: SharedInput): Promise<readonly string[]> {
  const modules = new Set<string>();
  await withModules(input, async (path) => {
    modules.add(path);
    return path;
  });
  return [...modules];
}

/** Returns a recipe's text in which modules are renamed. @throws PithError E_OPTION */
async function withRecipeModules(text: string, rename: RenameModule): Promise<string> {
  const recipe = await withOptions(parseRecipe(text), async (step) => {
    requireNoFiles(step);
    return (await renameModules(step.options, rename)) as OptionValues;
  });
  return recipeText(recipe);
}

function requireNoFiles(step: RecipeStep): void {
  const [file] = filesOfStep(step);
  if (file === undefined) return;
  throw optionError(`${step.id}: "${file}" is a file of this machine: workers of a queue do not have it.`, {
    hint: "Run the recipe without --queue.",
  });
}

export async function renameModules(value: unknown, rename: RenameModule): Promise<unknown> {
  if (typeof value === "string") return isCode(value) ? rename(value) : value;
  if (Array.isArray(value)) return Promise.all(value.map((element) => renameModules(element, rename)));
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(
    async ([name, inner]) => [name, await renameModules(inner, rename)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}
