/** Handles the files of a model in a folder (the model and its external data). */
import {
  allNodes,
  allValues,
  fileError,
  Miss,
  type Model,
  open,
  optionError,
  PithError,
  parseDataName,
  passKey,
  removeUnread,
} from "#ir";
import { fileKind, fileNameOf, joinPath, listFolder, removeFile } from "#platform";
import { fileHash } from "../../core/files/hash.ts";
import { type FileHashes, isAuthoredFile } from "../../core/files/own-files.ts";
import { dataFilesOf, maxChunks } from "./file-names.ts";

export function isFileOfModel(file: string, path: string): boolean {
  const data = parseDataName(path);
  return path === file || (data?.model === file && data.finalName === path);
}

/** Returns the first file of a model that the user wrote, and not a killed process. */
export async function findAuthoredFile(out: string, file: string, written: FileHashes): Promise<string | undefined> {
  const existing = await filesOf(out, file);
  let authoredFile: string | undefined;
  for (const path of existing) if (await isAuthoredFile(out, path, written)) authoredFile ??= path;
  if (authoredFile === undefined || !existing.includes(file)) return authoredFile;
  const model = await tryOpenModel(joinPath(out, file));
  if (model instanceof Miss) return undefined;
  return !written.has(file) && model !== undefined && isMadeByPith(model) ? undefined : authoredFile;
}

/** Opens a model. Returns undefined if it is unsupported, a Miss if it is invalid or incomplete. */
export async function tryOpenModel(path: string): Promise<Model | Miss | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return error.code === "E_UNSUPPORTED" ? undefined : new Miss(error.message);
  }
}

const isMadeByPith = ({ graph }: Model): boolean => [...allNodes(graph)].some(({ metadata }) => metadata.has(passKey));

async function filesOf(out: string, file: string): Promise<readonly string[]> {
  const names = await listFolder(joinPath(out, "onnx")).catch((): string[] => []);
  return names.map((name) => `onnx/${name}`).filter((path) => isFileOfModel(file, path));
}

/** Returns the names of the files that contain the model's tensors. */
export function weightFilesOf({ graph }: Model): ReadonlySet<string> {
  const files = new Set<string>();
  for (const { tensor } of allValues(graph))
    if (tensor?.stored !== undefined) files.add(tensor.stored.source.name.replace(/^.*[/\\]/, ""));
  return files;
}

/** Hashes a model's files; removes unread data files. @throws PithError E_FILE, E_OPTION. */
export async function hashModelFiles(out: string, file: string): Promise<FileHashes> {
  const [folder, name] = [joinPath(out, "onnx"), fileNameOf(file)];
  const readFiles = weightFilesOf(await open(joinPath(out, file)));
  const data = dataFilesOf(name, await listFolder(folder));
  await removeUnread(
    joinPath(out, file),
    data.filter((dataFile) => !readFiles.has(dataFile)),
  );
  const files = [name, ...data.filter((dataFile) => readFiles.has(dataFile))];
  if (files.length - 1 > maxChunks) {
    const text = `"${name}" has ${files.length - 1} files of weights; transformers.js reads ${maxChunks}.`;
    throw optionError(text, { hint: "Allow larger files (`fileBytes`)." });
  }
  const otherFile = [...readFiles].find((usedFile) => !files.includes(usedFile));
  if (otherFile !== undefined)
    throw fileError(`The weights of "${name}" are in "${joinPath(folder, otherFile)}".`, {
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
