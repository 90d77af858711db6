/**
 * Which files models keep their weights in: what may be replaced or removed when a model is saved, and what other models still read.
 *
 * Weights beside `model.onnx` lie in `model.onnx_data`, and if others need that one, in `model.onnx_data_1`, and so on. While they are being
 * saved they have a name of their own, `model.onnx_data.<who saves>`, which a model may refer to for a moment.
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

/** What the n-th file of a model's weights is called. */
export function dataName(model: string, number: number): string {
  return `${model}_data${number === 0 ? "" : `_${number}`}`;
}

interface DataName {
  readonly model: string;
  /** The name that the file has in the end. */
  readonly final: string;
  /** Who saves it, while it is being saved. */
  readonly saver: string | undefined;
}

export function parseDataName(name: string): DataName | undefined {
  const [, final, model, saver] = /^((.+)_data(?:_\d+)?)(?:\.([0-9a-f]{8}-\d+\.[0-9a-f]{12}))?$/s.exec(name) ?? [];
  return final === undefined || model === undefined ? undefined : { model, final, saver };
}

/**
 * Names for the files of a model's weights: the first that no file has, or that only the model has which is replaced.
 * @returns them, and what the replaced model leaves behind once it is replaced.
 */
export async function chooseDataNames(
  path: string,
  count: number,
): Promise<{ readonly names: readonly string[]; readonly replaced: ReadonlySet<string> }> {
  const replaced = await ownDataFiles(path);
  const folder = folderOf(path);
  const names: string[] = [];
  let others: ReadonlySet<string> | undefined;
  for (let number = 0; names.length < count; number++) {
    const name = dataName(fileNameOf(path), number);
    if (await isThere(joinPath(folder, name))) {
      if (!replaced.has(name)) continue;
      others ??= await filesReadIn(folder, path);
      if (await isRead(joinPath(folder, name), others)) continue;
    }
    names.push(name);
  }
  return { names, replaced };
}

/** Removes files of weights, but those that a model in the folder reads. What cannot be removed is no failure. */
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

/** Removes the weights that processes left behind which were killed while they wrote them, or before the model referred to them. */
export async function removeAbandoned(path: string): Promise<void> {
  const folder = folderOf(path);
  const abandoned: string[] = [];
  for (const file of await listFolder(folder).catch((): string[] => [])) {
    const temporary = temporaryOf(file);
    const named = parseDataName(temporary?.name ?? file);
    const maker = temporary?.ending ?? named?.saver;
    if (
      named?.model !== fileNameOf(path) ||
      maker === undefined ||
      !(await isLeftBehind(joinPath(folder, file), maker))
    )
      continue;
    // Nobody refers to a temporary file.
    if (temporary !== undefined) await removeFile(joinPath(folder, file)).catch(() => {});
    else abandoned.push(file);
  }
  await removeUnread(path, abandoned);
}

/** Files of a model's weights, as far as it is theirs by their names, with the names that were on their way to be. */
export async function ownDataFiles(path: string): Promise<ReadonlySet<string>> {
  const own = new Set<string>();
  for (const location of (await locationsOf(path)) ?? []) {
    const leadsTo = fileNameOf(await realPath(joinPath(folderOf(path), location)).catch(() => location));
    for (const name of [location, leadsTo]) {
      const parsed = parseDataName(name);
      if (parsed?.model === fileNameOf(path)) own.add(name).add(parsed.final);
    }
  }
  return own;
}

/** Stands for files whose models cannot be read to the end: they may keep their weights anywhere. */
const anyFile = "*";

/** The files, links followed, that the models of a folder keep weights in; but for the one at a path, which is about to be replaced. */
async function filesReadIn(folder: string, except?: string): Promise<ReadonlySet<string>> {
  const read = new Set<string>();
  const left = except === undefined ? undefined : joinPath(await realPath(folder), fileNameOf(except));
  for (const name of await listFolder(folder)) {
    const model = joinPath(folder, name);
    if (!/\.onnx$/i.test(name)) continue;
    // Links to the one that is replaced will lead to the new one.
    if (except !== undefined && name === fileNameOf(except)) continue;
    if (left !== undefined && (await realPath(model).catch(() => undefined)) === left) continue;
    for (const location of (await locationsOf(model)) ?? [anyFile])
      read.add(location === anyFile ? anyFile : await realPath(joinPath(folder, location)).catch(() => location));
  }
  return read;
}

async function isRead(file: string, read: ReadonlySet<string>): Promise<boolean> {
  return read.has(anyFile) || read.has(await realPath(file).catch(() => file));
}

/** Whether something has this name: a link that leads nowhere, too. */
async function isThere(path: string): Promise<boolean> {
  return (await listFolder(folderOf(path)).catch((): string[] => [])).includes(fileNameOf(path));
}

/** Where a model says that its weights lie; none for what is no model, undefined where it cannot be read to the end. */
export async function locationsOf(path: string): Promise<readonly string[] | undefined> {
  if ((await fileKind(path)) !== "file") return [];
  const locations = new Set<string>();
  // Nothing is read of them: what small tensors hold does not matter here.
  const nothing: ByteSource = {
    name: "",
    size: Number.MAX_SAFE_INTEGER,
    read: (start, end) => Promise.resolve(new Uint8Array(end - start)),
  };
  try {
    await decodeModel(await openFile(path), (location) => {
      locations.add(location);
      return Promise.resolve(nothing);
    });
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_NOT_ONNX") return undefined;
  }
  return [...locations];
}
