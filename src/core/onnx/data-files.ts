/**
 * Manages weight files of models: `model.onnx_data`, or `model.onnx_data_1` and so on if other models use that
 * name. While a file is being saved, it is called `model.onnx_data.<saver>`.
 */
import {
  fileKind,
  fileNameOf,
  folderOf,
  isLeftBehind,
  joinPath,
  listFolder,
  openFile,
  realPath,
  removeFile,
  temporaryOf,
} from "#platform";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { decodeModel } from "./decode.ts";

export function dataName(model: string, number: number): string {
  return `${model}_data${number === 0 ? "" : `_${number}`}`;
}

interface DataName {
  readonly model: string;
  /** The name of the finished file. */
  readonly final: string;
  /** The process that is saving the file; undefined for a finished file. */
  readonly saver: string | undefined;
}

export function parseDataName(name: string): DataName | undefined {
  const [, final, model, saver] = /^((.+)_data(?:_\d+)?)(?:\.([0-9a-f]{8}-\d+\.[0-9a-f]{12}))?$/s.exec(name) ?? [];
  return final === undefined || model === undefined ? undefined : { model, final, saver };
}

/**
 * Chooses the first names for weight files that are unused or used only by the replaced model.
 * @returns The names, and the files that only the replaced model used.
 */
export async function chooseDataNames(
  path: string,
  count: number,
): Promise<{ readonly names: readonly string[]; readonly replaced: ReadonlySet<string> }> {
  const replaced = await ownDataFiles(path);
  const folder = folderOf(path);
  const names: string[] = [];
  let filesOfOthers: ReadonlySet<string> | undefined;
  for (let number = 0; names.length < count; number++) {
    const name = dataName(fileNameOf(path), number);
    if (await isThere(joinPath(folder, name))) {
      if (!replaced.has(name)) continue;
      filesOfOthers ??= await filesReadIn(folder, path);
      if (await isRead(joinPath(folder, name), filesOfOthers)) continue;
    }
    names.push(name);
  }
  return { names, replaced };
}

/** Removes those weight files that no model in the folder reads. Failures are ignored. */
export async function removeUnread(path: string, names: Iterable<string>): Promise<void> {
  const folder = folderOf(path);
  let read: ReadonlySet<string> | undefined;
  for (const name of names) {
    const file = joinPath(folder, name);
    if (!(await isThere(file))) continue;
    read ??= await filesReadIn(folder);
    if (!(await isRead(file, read))) await removeFile(file).catch(() => {});
  }
}

/** Removes weight files that killed processes wrote before a model referred to them. */
export async function removeAbandoned(path: string): Promise<void> {
  const folder = folderOf(path);
  const abandoned: string[] = [];
  for (const file of await listFolder(folder).catch((): string[] => [])) {
    const temporary = temporaryOf(file);
    const named = parseDataName(temporary?.name ?? file);
    const owner = temporary?.ending ?? named?.saver;
    if (
      named?.model !== fileNameOf(path) ||
      owner === undefined ||
      !(await isLeftBehind(joinPath(folder, file), owner))
    )
      continue;
    // No model refers to a temporary file, so it can be removed at once.
    if (temporary !== undefined) await removeFile(joinPath(folder, file)).catch(() => {});
    else abandoned.push(file);
  }
  await removeUnread(path, abandoned);
}

/** Returns the names of the weight files that belong to a model, including unfinished ones. */
export async function ownDataFiles(path: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const location of (await locationsOf(path)) ?? []) {
    const leadsTo = fileNameOf(await realPath(joinPath(folderOf(path), location)).catch(() => location));
    for (const name of [location, leadsTo]) {
      const parsed = parseDataName(name);
      if (parsed?.model === fileNameOf(path)) names.add(name).add(parsed.final);
    }
  }
  return names;
}

/** Represents all files, because a model that cannot be read completely might refer to any of them. */
const anyFile = "*";

/**
 * Returns the files that the models of a folder read, with links resolved. `except` is the path of a model that
 * is about to be replaced, which is ignored.
 */
async function filesReadIn(folder: string, except?: string): Promise<ReadonlySet<string>> {
  const read = new Set<string>();
  const replacedModel = except === undefined ? undefined : joinPath(await realPath(folder), fileNameOf(except));
  for (const name of await listFolder(folder)) {
    const model = joinPath(folder, name);
    if (!/\.onnx$/i.test(name)) continue;
    // Links to the replaced model will point to the new one.
    if (except !== undefined && name === fileNameOf(except)) continue;
    if (replacedModel !== undefined && (await realPath(model).catch(() => undefined)) === replacedModel) continue;
    for (const location of (await locationsOf(model)) ?? [anyFile])
      read.add(location === anyFile ? anyFile : await realPath(joinPath(folder, location)).catch(() => location));
  }
  return read;
}

async function isRead(file: string, read: ReadonlySet<string>): Promise<boolean> {
  return read.has(anyFile) || read.has(await realPath(file).catch(() => file));
}

/** Returns whether a path exists. Dangling links count as existing. */
async function isThere(path: string): Promise<boolean> {
  return (await listFolder(folderOf(path)).catch((): string[] => [])).includes(fileNameOf(path));
}

/** Returns the locations of a model's weight files; none for other files. Undefined if the model cannot be read completely. */
export async function locationsOf(path: string): Promise<readonly string[] | undefined> {
  if ((await fileKind(path)) !== "file") return [];
  const locations = new Set<string>();
  // The contents of tensors do not matter here, so the source returns zeros.
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
