/** Handles a model of a folder with its external data: hashes, removes and recognizes the files. */
import { fileKind, fileNameOf, joinPath, listFolder, removeFile } from "#platform";
import { Miss, PithError } from "../../core/errors.ts";
import { fileHash } from "../../core/files/hash.ts";
import { type FileHashes, isAuthoredFile } from "../../core/files/own-files.ts";
import { passKey } from "../../core/graph/emit.ts";
import { allNodes, allValues } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseDataName, removeUnread } from "../../core/onnx/data-files.ts";
import { open } from "../../core/onnx/index.ts";
import { dataFilesOf, maxChunks } from "./layout.ts";

export function isFileOfModel(file: string, path: string): boolean {
  const data = parseDataName(path);
  return path === file || (data?.model === file && data.finalName === path);
}

/**
 * Returns the first file of a model that the user wrote or changed. Unreadable files, and unrecorded ones with Pith's nodes, do not count: a killed
 * process left them.
 */
export async function authoredModel(out: string, file: string, written: FileHashes): Promise<string | undefined> {
  const existing = await filesOf(out, file);
  let changed: string | undefined;
  for (const path of existing) if (await isAuthoredFile(out, path, written)) changed ??= path;
  if (changed === undefined || !existing.includes(file)) return changed;
  const model = await tryOpenModel(joinPath(out, file));
  if (model instanceof Miss) return undefined;
  return !written.has(file) && model !== undefined && isPiths(model) ? undefined : changed;
}

/** Opens a model. @returns undefined if it is valid but unsupported, a Miss if it is invalid or incomplete. */
export async function tryOpenModel(path: string): Promise<Model | Miss | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return error.code === "E_UNSUPPORTED" ? undefined : new Miss(error.message);
  }
}

const isPiths = ({ graph }: Model): boolean => [...allNodes(graph)].some(({ metadata }) => metadata.has(passKey));

async function filesOf(out: string, file: string): Promise<readonly string[]> {
  const names = await listFolder(joinPath(out, "onnx")).catch((): string[] => []);
  return names.map((name) => `onnx/${name}`).filter((path) => isFileOfModel(file, path));
}

/** Returns the names of the files that contain tensors. This includes the model's own file if it embeds any. */
export function weightFilesOf({ graph }: Model): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { tensor } of allValues(graph))
    if (tensor?.stored !== undefined) used.add(tensor.stored.source.name.replace(/^.*[/\\]/, ""));
  return used;
}

/**
 * Hashes a model and its data files, and removes data files that it does not read. @throws PithError E_FILE for unknown data names, E_OPTION for too
 * many files.
 */
export async function hashAndPrune(out: string, file: string): Promise<FileHashes> {
  const [folder, name] = [joinPath(out, "onnx"), fileNameOf(file)];
  const used = weightFilesOf(await open(joinPath(out, file)));
  const data = dataFilesOf(name, await listFolder(folder));
  await removeUnread(
    joinPath(out, file),
    data.filter((dataFile) => !used.has(dataFile)),
  );
  const files = [name, ...data.filter((dataFile) => used.has(dataFile))];
  if (files.length - 1 > maxChunks) {
    const text = `"${name}" has ${files.length - 1} files of weights; transformers.js reads ${maxChunks}.`;
    throw new PithError("E_OPTION", text, { hint: "Allow larger files (`fileBytes`)." });
  }
  const stray = [...used].find((usedFile) => !files.includes(usedFile));
  if (stray !== undefined)
    throw new PithError("E_FILE", `The weights of "${name}" are in "${joinPath(folder, stray)}".`, {
      hint: "Another model reads the file that they should be in. Write to another folder.",
    });
  const hashes = files.map(
    async (fileName) => [`onnx/${fileName}`, [await fileHash(joinPath(folder, fileName))]] as const,
  );
  return new Map(await Promise.all(hashes));
}

export async function removeModel(out: string, file: string): Promise<void> {
  const data = (await filesOf(out, file)).filter((path) => path !== file).map(fileNameOf);
  await removeFile(joinPath(out, file));
  await removeUnread(joinPath(out, file), data);
}

/** Returns whether a model and its external data are unchanged since Pith wrote them. */
export async function isUnchanged(out: string, file: string, written: FileHashes): Promise<boolean> {
  const paths = [...written.keys()].filter((path) => isFileOfModel(file, path));
  for (const path of paths)
    if ((await fileKind(joinPath(out, path))) !== "file" || (await isAuthoredFile(out, path, written))) return false;
  return paths.includes(file);
}
