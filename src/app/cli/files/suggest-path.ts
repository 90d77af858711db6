/** Suggests existing paths if a path on the command line does not exist. */
import { readdir } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { nearest, type PithError } from "#ir";
import { exists, isFolder } from "./file-paths.ts";

export async function suggestPath(error: PithError, words: readonly string[]): Promise<PithError> {
  // Errors of jobs arrive without their cause, so only the message tells that the path is an output path.
  if (error.code !== "E_FILE" || /cannot be (written|made)|go into a folder/.test(error.message)) return error;
  // A path can be a part of a word: `--data=cifar10`, `--modules a.mjs,b.mjs`.
  const candidatePaths = words.flatMap((word) => [word, ...word.replace(/^--?[^=]+=/, "").split(",")]);
  const path = candidatePaths.find((word) => word !== "" && error.message.includes(`"${word}"`));
  if (path === undefined || (await exists(path))) return error;
  const suggestions = await similarPaths(path);
  if (suggestions.length === 0) {
    if (hubId.test(path) && !error.message.startsWith("There is no data"))
      return error.reworded({ hint: `For a model of the Hugging Face Hub: hf:${path}` });
    if (error.hint !== undefined || isAbsolute(path)) return error;
    return error.reworded({ hint: `Check the spelling. Relative paths start at ${process.cwd()}.` });
  }
  return error.reworded({ hint: `Did you mean ${suggestions.map((candidate) => `"${candidate}"`).join(" or ")}?` });
}

/** Id of a model on the Hugging Face Hub. */
const hubId = /^[\w-][\w.-]*\/[\w.-]+(?<!\.(onnx|npz|npy|csv|tsv|jsonl|txt|json|ya?ml|mjs|js|ts))$/i;

/** Returns paths similar to a missing one. */
export async function similarPaths(path: string): Promise<readonly string[]> {
  let [folder, missingPart, remainder] = [dirname(path), basename(path), ""];
  while (!(await exists(folder))) {
    if (dirname(folder) === folder) return [];
    [folder, missingPart, remainder] = [dirname(folder), basename(folder), join(missingPart, remainder)];
  }
  const matches = await findBelow(folder, basename(path));
  if (matches.length > 0) return matches.slice(0, maxShown);
  const names = await listNames(folder);
  const lowerName = missingPart.toLowerCase();
  const longerNames = names
    .filter((name) => name.toLowerCase().startsWith(lowerName))
    .sort((a, b) => a.length - b.length);
  // A third of the longer name may differ: "fotos" and "photos".
  const name =
    nearest(missingPart, names) ??
    longerNames[0] ??
    names.find((longer) => nearest(longer, [missingPart]) !== undefined);
  if (name === undefined) return [];
  const candidate = join(folder, name, remainder);
  if (await exists(candidate)) return [await showPath(candidate)];
  return remainder === "" ? [] : similarPaths(candidate);
}

const maxShown = 3;
const [maxDepth, maxFolders] = [3, 500];

async function findBelow(folder: string, name: string): Promise<readonly string[]> {
  const matches: string[] = [];
  let visitedCount = 0;
  let folders = [folder];
  for (let depth = 0; depth <= maxDepth; depth++) {
    const subfolders: string[] = [];
    for (const path of folders) {
      if (++visitedCount > maxFolders) return matches;
      for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
        if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
        if (depth > 0 && entry.name === name) matches.push(await showPath(join(path, entry.name)));
        if (entry.isDirectory()) subfolders.push(join(path, entry.name));
      }
    }
    folders = subfolders;
  }
  return matches;
}

const listNames = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder).catch((): string[] => [])).filter((name) => !name.startsWith("."));

async function showPath(path: string): Promise<string> {
  return (await isFolder(path)) ? `${path}/` : path;
}
