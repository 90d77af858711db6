import type { SharedInput } from "./inputs.ts";
import { isCode, type Rename } from "./modules.ts";
import { withRecipeModules } from "./recipe-files.ts";

/**
 * Renames the modules in an input.
 * @throws PithError E_OPTION for a recipe that names other local files, which workers do not have; whatever `rename` throws.
 */
export async function withModules<I extends SharedInput>(input: I, rename: Rename): Promise<I> {
  const { path } = input.data;
  const renamed = isCode(path) ? { ...input, data: { ...input.data, path: await rename(path) } } : input;
  return "recipe" in renamed && typeof renamed.recipe === "string"
    ? { ...renamed, recipe: await withRecipeModules(renamed.recipe, rename) }
    : renamed;
}

export async function modulesOf(input: SharedInput): Promise<readonly string[]> {
  const found = new Set<string>();
  await withModules(input, async (path) => {
    found.add(path);
    return path;
  });
  return [...found];
}
