/** Manages the weight files next to a model: chooses names for new ones, and removes those that no model reads. */
import { type ByteSource, PithError } from "#graph";
import {
  fileKind,
  fileNameOf,
  folderOf,
  isAbandoned,
  joinPath,
  listFolder,
  openFile,
  realPath,
  removeFile,
  temporaryOf,
} from "#platform";
import { dataName, parseDataName } from "./data-names.ts";
import { decodeModel } from "./decode.ts";

/** Chooses the first names that no file has, or that only the replaced model reads. */
export async function chooseDataNames(
  path: string,
  count: number,
): Promise<{ readonly names: readonly string[]; readonly replacedNames: ReadonlySet<string> }> {
  const replacedNames = await ownDataFiles(path);
  const folder = folderOf(path);
  const names: string[] = [];
  let filesOfOthers: ReadonlySet<string> | undefined;
  for (let number = 0; names.length < count; number++) {
    const name = dataName(fileNameOf(path), number);
    if (await doesExist(joinPath(folder, name))) {
      if (!replacedNames.has(name)) continue;
      filesOfOthers ??= await listReadFiles(folder, path);
      if (await isRead(joinPath(folder, name), filesOfOthers)) continue;
    }
    names.push(name);
  }
  return { names, replacedNames };
}

/** Removes those of the files `names` next to a model that no model in the folder reads. Failures are ignored. */
export async function removeUnread(path: string, names: Iterable<string>): Promise<void> {
  const folder = folderOf(path);
  let readFiles: ReadonlySet<string> | undefined;
  for (const name of names) {
    const file = joinPath(folder, name);
    if (!(await doesExist(file))) continue;
    readFiles ??= await listReadFiles(folder);
    if (!(await isRead(file, readFiles))) await removeFile(file).catch(() => {});
  }
}

/** Removes weight files that killed processes wrote before a model referred to them. */
export async function removeAbandoned(path: string): Promise<void> {
  const folder = folderOf(path);
  const abandonedFiles: string[] = [];
  for (const file of await listFolder(folder).catch((): string[] => [])) {
    const temporary = temporaryOf(file);
    const dataFile = parseDataName(temporary?.name ?? file);
    const owner = temporary?.ending ?? dataFile?.saver;
    if (
      dataFile?.model !== fileNameOf(path) ||
      owner === undefined ||
      !(await isAbandoned(joinPath(folder, file), owner))
    )
      continue;
    // No model refers to a temporary file.
    if (temporary !== undefined) await removeFile(joinPath(folder, file)).catch(() => {});
    else abandonedFiles.push(file);
  }
  await removeUnread(path, abandonedFiles);
}

/** Smaller files are searched for the word "location", which references to weight files have, before they are decoded. */
const maxSearchedBytes = 2 ** 26;

/** Returns the names of a model's weight files, including unfinished ones. */
export async function ownDataFiles(path: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  if ((await fileKind(path)) === "file") {
    const file = await openFile(path);
    const text = file.size <= maxSearchedBytes && new TextDecoder("latin1").decode(await file.read(0, file.size));
    if (text !== false && !text.includes("location")) return names;
  }
  for (const location of (await locationsOf(path)) ?? []) {
    const targetName = fileNameOf(await realPath(joinPath(folderOf(path), location)).catch(() => location));
    for (const name of [location, targetName]) {
      const nameParts = parseDataName(name);
      if (nameParts?.model === fileNameOf(path)) names.add(name).add(nameParts.finalName);
    }
  }
  return names;
}

/** A model that cannot be read completely can refer to any file. */
const anyFile = "*";

/** Returns the weight files that the models of a folder read. Ignores the model `except`, which is about to be replaced. */
async function listReadFiles(folder: string, except?: string): Promise<ReadonlySet<string>> {
  const readFiles = new Set<string>();
  const replacedModel = except === undefined ? undefined : joinPath(await realPath(folder), fileNameOf(except));
  for (const name of await listFolder(folder)) {
    const model = joinPath(folder, name);
    if (!/\.onnx$/i.test(name)) continue;
    // Links to the replaced model will lead to the new one.
    if (except !== undefined && name === fileNameOf(except)) continue;
    if (replacedModel !== undefined && (await realPath(model).catch(() => undefined)) === replacedModel) continue;
    for (const location of (await locationsOf(model)) ?? [anyFile])
      readFiles.add(location === anyFile ? anyFile : await realPath(joinPath(folder, location)).catch(() => location));
  }
  return readFiles;
}

async function isRead(file: string, readFiles: ReadonlySet<string>): Promise<boolean> {
  return readFiles.has(anyFile) || readFiles.has(await realPath(file).catch(() => file));
}

/** Dangling links count as existing. */
async function doesExist(path: string): Promise<boolean> {
  return (await listFolder(folderOf(path)).catch((): string[] => [])).includes(fileNameOf(path));
}

/** Returns the locations of a model's weight files; undefined if the model cannot be read completely. */
export async function locationsOf(path: string): Promise<readonly string[] | undefined> {
  if ((await fileKind(path)) !== "file") return [];
  const locations = new Set<string>();
  // The contents of tensors are not needed.
  const zeroSource: ByteSource = {
    name: "",
    size: Number.MAX_SAFE_INTEGER,
    read: (start, end) => Promise.resolve(new Uint8Array(end - start)),
  };
  try {
    await decodeModel(await openFile(path), (location) => {
      locations.add(location);
      return Promise.resolve(zeroSource);
    });
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_NOT_ONNX") return undefined;
  }
  return [...locations];
}
