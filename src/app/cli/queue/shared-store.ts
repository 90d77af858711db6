/** The store of a queue: a folder that several machines share, with models and data under content hashes, and finished work. */
import type { Dirent } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { dataError, locationsOf, usageError } from "#ir";
import { fileHash, textHash } from "../../../core/files/hash.ts";
import { sidecarsOf } from "../../../data/sidecars/sidecars.ts";
import { dataFiles } from "../../../data/sources/open.ts";
import { exists } from "../files/file-paths.ts";
import { requireWritableFolder } from "../files/writable.ts";
import { publicAddress } from "../print/addresses.ts";
import type { SharedInput } from "./job-inputs.ts";
import { isCode, nameInJobs, type RenameModule, withModules } from "./module-names.ts";

/** Opens a store. @throws PithError E_USAGE, E_FILE if it is not writable. */
export async function openSharedStore(folder: string): Promise<string> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(folder))
    throw usageError(`--store takes a folder that all machines reach, not "${publicAddress(folder)}".`, {
      hint: "Mount the storage as a folder.",
    });
  await requireWritableFolder(folder, []);
  return folder;
}

/** A file: its path relative to a folder of the store (with "/"), and its local path. */
type NamedFile = readonly [name: string, path: string];

/**
 * Copies the files of a job's model and data into the store. Returns the input with paths relative to the store, and with modules named by hash.
 * @param onFiles receives the names of the files before they are copied. @throws PithError E_OPTION if a worker must not run the job.
 */
export async function shareInput<I extends SharedInput>(
  store: string,
  local: I,
  onFiles: (names: readonly string[]) => void,
): Promise<I> {
  const input = await withModules(local, nameInJobs);
  const modelFiles = await modelFilesOf(input.model);
  const data = isCode(input.data.path) ? undefined : await dataFilesOf(input.data.path);
  onFiles([...modelFiles, ...(data?.files ?? [])].map(([name]) => name));
  const sharedFolder = await shareFiles(store, modelFiles);
  const path = data === undefined ? input.data.path : `${await shareFiles(store, data.files)}${data.suffix}`;
  const key = await textHash(JSON.stringify([sharedFolder, path, input.seed]));
  return {
    ...input,
    model: `${sharedFolder}/${basename(input.model)}`,
    data: { ...input.data, path },
    resumeFolder: `runs/${key}`,
  };
}

async function modelFilesOf(model: string): Promise<readonly NamedFile[]> {
  const weights = (await locationsOf(model)) ?? [];
  return [
    [basename(model), model],
    ...weights.map((location): NamedFile => [location.replaceAll(sep, "/"), join(dirname(model), location)]),
    ...(await sidecarsOf(model)),
  ];
}

/** Returns the files of the data, and the suffix from their folder to the data's path. */
async function dataFilesOf(path: string): Promise<{ readonly files: readonly NamedFile[]; readonly suffix: string }> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? path : dirname(path);
  const files = (await dataFiles(path)).map((file): NamedFile => [relative(folder, file).replaceAll(sep, "/"), file]);
  return { files, suffix: isFolder ? "" : `/${basename(path)}` };
}

/** Returns an input with absolute paths. @throws PithError E_DATA for a path that is not in the store. */
export function resolveInput<I extends SharedInput>(folder: string, input: I): I {
  const { model, data } = input;
  for (const path of isCode(data.path) ? [model] : [model, data.path]) storedFolder(path, "inputs");
  const resumeFolder = storedFolder(input.resumeFolder, "runs");
  const store = resolve(folder);
  return {
    ...input,
    model: join(store, model),
    data: isCode(data.path) ? data : { ...data, path: join(store, data.path) },
    resumeFolder: join(store, resumeFolder),
    store,
  };
}

/** Prepares a job on a worker. @param findModule returns the local file of a module. @throws PithError as `withModules`, `resolveInput`. */
export async function receiveInput<I extends SharedInput>(store: string, job: I, findModule: RenameModule): Promise<I> {
  const input = await withModules(job, findModule);
  const resolvedInput = resolveInput(store, input);
  await requireStored(resolvedInput);
  return resolvedInput;
}

/** Checks that no link leads to the files of a job. @throws PithError E_DATA. */
export async function requireStored({ store, model, data, resumeFolder }: SharedInput): Promise<void> {
  if (store !== undefined) await requireNoLinks(store, [model, data.path, resumeFolder]);
}

/** Copies files into a folder of the store that is named by their content hash. Returns its relative path. */
async function shareFiles(store: string, namedFiles: readonly NamedFile[]): Promise<string> {
  const hashes: (readonly [name: string, hash: string])[] = [];
  for (const [name, path] of namedFiles) hashes.push([name, await fileHash(path)]);
  const place = `inputs/${await textHash(JSON.stringify(hashes))}`;
  await createFolder(join(store, place), async (unfinishedFolder) => {
    for (const [name, path] of namedFiles) {
      await mkdir(dirname(join(unfinishedFolder, name)), { recursive: true });
      await copyFile(path, join(unfinishedFolder, name));
    }
  });
  return place;
}

const namePattern = "(?!\\.{1,2}$)[^/\\\\\\p{Cc}]+";
/** Patterns of valid paths relative to a store. */
const pathPatterns = {
  inputs: new RegExp(`^(inputs/[0-9a-f]{64})(?:/${namePattern})?$`, "u"),
  runs: /^(runs\/[0-9a-f]{64})$/,
};

/** Returns the folder in a path. @throws PithError E_DATA for a path that Pith would not create. */
function storedFolder(path: string, kind: keyof typeof pathPatterns): string {
  const [, folder] = pathPatterns[kind].exec(path) ?? [];
  if (folder !== undefined) return folder;
  throw dataError(`The queue names "${path}", which is not in the store.`);
}

/** Rejects links, which could lead to any file of this machine. @throws PithError E_DATA. */
async function requireNoLinks(store: string, paths: readonly string[]): Promise<void> {
  const storePath = resolve(store);
  const root = await realpath(store).catch(() => storePath);
  const rejectLink = (path: string): never => {
    throw dataError(`The store has a link: expected a file or a folder, got "${relative(root, path)}".`, {
      hint: "Pith writes no links into a store: remove the link, and find out who created it.",
    });
  };
  const check = async (folder: string, isDeep: boolean): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => [])) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (isDeep) await check(path, true);
      } else if (!entry.isFile()) rejectLink(path);
    }
  };
  const storedPaths = paths.filter((path) => path.startsWith(storePath + sep)).map((path) => relative(storePath, path));
  for (const folder of new Set(storedPaths.map((path) => join(root, ...path.split(sep).slice(0, 2))))) {
    if ((await realpath(folder).catch(() => folder)) !== folder) rejectLink(folder);
    await check(folder, true);
    // Sidecar files of a model can be in the parent folder.
    await check(dirname(folder), false);
  }
}

/** Creates a complete folder by renaming a temporary one. */
async function createFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
  if (await exists(target)) return;
  await mkdir(dirname(target), { recursive: true });
  const temporaryFolder = await mkdtemp(`${target}.`);
  try {
    await fill(temporaryFolder);
    // Workers that run as other users must be able to read the folder.
    await chmod(temporaryFolder, 0o755);
    await rename(temporaryFolder, target).catch(async (error: unknown) => {
      if (!(await exists(target))) throw error;
    });
  } finally {
    await rm(temporaryFolder, { recursive: true, force: true });
  }
}
