/** Reads recipe files, which can be untrusted. A recipe imports modules that the command line names, and writes to the output folder. */
import { readFile, realpath } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileError, joinList, optionError } from "#ir";
import { builtInPasses } from "../../../judge/recipe/built-in-passes.ts";
import { isRepeat, type Recipe, type RecipeStep } from "../../../judge/recipe/recipe.ts";
import { parseRecipe } from "../../../judge/recipe/recipe-text.ts";
import { renameModules } from "../queue/module-names.ts";
import { isSameFile } from "./file-paths.ts";

export interface RecipeFile {
  readonly path: string;
  readonly modules: readonly string[];
}

/** Reads a recipe and checks that it can run safely. @throws PithError E_FILE, E_OPTION. */
export async function readRecipe(
  { path, modules }: RecipeFile,
  outs: readonly string[],
): Promise<{ readonly text: string; readonly recipe: Recipe }> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw fileError(`The recipe "${path}" cannot be read.`, { cause });
  });
  const recipe = parseRecipe(text, path);
  await requireModules(recipe, path, modules);
  for (const step of recipe.steps.flatMap((step) => (isRepeat(step) ? step.steps : [step])))
    for (const file of writtenFilesOf(step))
      for (const out of outs) await requireInside(out, file, `${path}: ${step.id}`);
  return { text, recipe };
}

async function requireModules({ steps }: Recipe, owner: string, allowedModules: readonly string[]): Promise<void> {
  const missingModules = new Set<string>();
  await renameModules(steps, async (module) => {
    const matches = await Promise.all(allowedModules.map((path) => isSameFile(path, module)));
    if (!matches.includes(true)) missingModules.add(module);
    return module;
  });
  if (missingModules.size === 0) return;
  const names = [...missingModules];
  const verb = names.length === 1 ? "is" : "are";
  throw optionError(
    `${owner}: ${joinList(names.map((name) => `"${name}"`))} ${verb} code that the command line does not name.`,
    { hint: `Code of a recipe runs with your rights. If you trust it: --modules ${names.join(",")}` },
  );
}

function writtenFilesOf({ id, options }: RecipeStep): readonly string[] {
  const optionValues = (builtInPasses.get(id)?.writes ?? []).map((name) => options[name]);
  return optionValues.filter((file) => typeof file === "string");
}

async function requireInside(out: string, file: string, step: string): Promise<void> {
  const [folder, path] = [await withoutLinks(resolve(out)), await withoutLinks(resolve(file))];
  if (path.startsWith(folder + sep)) return;
  const suggestedPath = join(out, basename(file));
  throw optionError(`${step}: "${file}" is outside of "${out}", and a recipe writes only into the folder of results.`, {
    hint: `Write "${suggestedPath}" in the recipe.`,
  });
}

async function withoutLinks(path: string): Promise<string> {
  const parent = dirname(path);
  return realpath(path).catch(async () =>
    parent === path ? path : join(await withoutLinks(parent), relative(parent, path)),
  );
}
