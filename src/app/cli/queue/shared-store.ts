/** The store of a queue: a folder or bucket that several machines share. It contains models and data under content hashes, and finished work. */
import type { Dirent } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { locationsOf, PithError } from "#ir";
import { writeFileAtomically } from "#platform";
import { bytesOfFile, fileHash, textHash } from "../../../core/files/hash.ts";
import { sidecarsOf } from "../../../data/sidecars/sidecars.ts";
import { dataFiles } from "../../../data/sources/open.ts";
import type { Bucket } from "../../../judge/steps/bucket-store.ts";
import { exists } from "../files/files.ts";
import { requireWritableFolder } from "../files/writable.ts";
import { bucketPlace, openBucket, testBucket, textOf } from "./bucket.ts";
import type { SharedInput } from "./inputs.ts";
import { isCode, nameInJobs, type RenameModule, withModules } from "./modules.ts";

export interface SharedStore {
  /** Shared folder; for a bucket, a local cache of it. */
  readonly folder: string;
  readonly bucket: { readonly address: string; readonly objects: Bucket } | undefined;
}

/** Opens a store. @param place a folder, or s3://bucket/prefix. @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE if it is not writable. */
export async function openSharedStore(place: string): Promise<SharedStore> {
  if (bucketPlace(place) === undefined) {
    await requireWritableFolder(place, []);
    return { folder: place, bucket: undefined };
  }
  const objects = await openBucket(place);
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(caches, "pith", "stores", await testBucket(objects));
  await requireWritableFolder(folder, []);
  return { folder, bucket: { address: place.replace(/\/$/, ""), objects } };
}

/** A file: its path relative to a folder of the store (with "/"), and its local path. */
type NamedFile = readonly [name: string, path: string];

/**
 * Copies the files of a job's model and data into the store. Modules of the user are not copied.
 * @param onFiles receives the names of the files before they are copied.
 * @returns the input with paths relative to the store, and with modules named by hash.
 * @throws PithError E_OPTION if a worker must not run the job.
 */
export async function shareInput<I extends SharedInput>(
  store: SharedStore,
  local: I,
  onFiles: (names: readonly string[]) => void,
): Promise<I> {
  const input = await withModules(local, nameInJobs);
  const modelFiles = await filesOfModel(input.model);
  const data = isCode(input.data.path) ? undefined : await filesOfData(input.data.path);
  onFiles([...modelFiles, ...(data?.files ?? [])].map(([name]) => name));
  const sharedFolder = await share(store, modelFiles);
  const path = data === undefined ? input.data.path : `${await share(store, data.files)}${data.suffix}`;
  const key = await textHash(JSON.stringify([sharedFolder, path, input.seed]));
  return {
    ...input,
    model: `${sharedFolder}/${basename(input.model)}`,
    data: { ...input.data, path },
    resumeFolder: `runs/${key}`,
  };
}

async function filesOfModel(model: string): Promise<readonly NamedFile[]> {
  const weights = (await locationsOf(model)) ?? [];
  return [
    [basename(model), model],
    ...weights.map((location): NamedFile => [location.replaceAll(sep, "/"), join(dirname(model), location)]),
    ...(await sidecarsOf(model)),
  ];
}

/** Returns the files of the data, and the suffix that leads from their folder to the data's path. */
async function filesOfData(path: string): Promise<{ readonly files: readonly NamedFile[]; readonly suffix: string }> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? path : dirname(path);
  const files = (await dataFiles(path)).map((file): NamedFile => [relative(folder, file).replaceAll(sep, "/"), file]);
  return { files, suffix: isFolder ? "" : `/${basename(path)}` };
}

const inputFolders = ({ model, data }: SharedInput): readonly string[] =>
  [model, ...(isCode(data.path) ? [] : [data.path])].map((path) => storedFolder(path, "inputs"));

/** Returns an input with absolute paths, except for modules. @throws PithError E_DATA for a path that is not in the store. */
export function resolveInput<I extends SharedInput>({ folder, bucket }: SharedStore, input: I): I {
  inputFolders(input);
  const { model, data } = input;
  const resumeFolder = storedFolder(input.resumeFolder, "runs");
  const store = resolve(folder);
  return {
    ...input,
    model: join(store, model),
    data: isCode(data.path) ? data : { ...data, path: join(store, data.path) },
    resumeFolder: join(store, resumeFolder),
    bucket: bucket && `${bucket.address}/${resumeFolder}`,
    store,
  };
}

/**
 * Prepares a job on a worker: downloads model and data, and makes paths absolute.
 * @param rename returns the local file for a module of a job. @throws PithError for an unknown module.
 * @throws PithError as `withModules` and `resolveInput`; E_DATA, E_FILE if a bucket lacks the files.
 */
export async function receiveInput<I extends SharedInput>(
  store: SharedStore,
  job: I,
  rename: RenameModule,
): Promise<I> {
  const input = await withModules(job, rename);
  const resolvedInput = resolveInput(store, input);
  if (store.bucket !== undefined)
    for (const folder of inputFolders(input)) await receiveFolder(store.bucket.objects, store.folder, folder);
  await requireStored(resolvedInput);
  return resolvedInput;
}

/** Checks, before model and data are opened, that no link leads to the files of a job. @throws PithError E_DATA. */
export async function requireStored({ store, model, data, resumeFolder }: SharedInput): Promise<void> {
  if (store !== undefined) await requireNoLinks(store, [model, data.path, resumeFolder]);
}

/** Copies files into a folder of the store that is named by their content hash. @returns the folder's path relative to the store. */
async function share({ folder, bucket }: SharedStore, namedFiles: readonly NamedFile[]): Promise<string> {
  const files = namedFiles.map(([, path]) => path);
  const hashedFiles: HashedFile[] = [];
  for (const [name, path] of namedFiles) hashedFiles.push([name, await fileHash(path)]);
  const place = `inputs/${await textHash(listText(hashedFiles))}`;
  if (bucket !== undefined) {
    await sendFolder(bucket.objects, place, hashedFiles, files);
    return place;
  }
  await createFolder(join(folder, place), async (unfinished) => {
    for (const [index, [name]] of hashedFiles.entries()) {
      await mkdir(dirname(join(unfinished, name)), { recursive: true });
      await copyFile(files[index] ?? "", join(unfinished, name));
    }
  });
  return place;
}

const namePattern = "(?!\\.{1,2}$)[^/\\\\\\p{Cc}]+";
/** Patterns of valid paths relative to a store: models and data, and finished work. */
const pathPatterns = {
  inputs: new RegExp(`^(inputs/[0-9a-f]{64})(?:/${namePattern})?$`, "u"),
  runs: /^(runs\/[0-9a-f]{64})$/,
};

/** Returns the folder in a path. @throws PithError E_DATA for a path that Pith would not create. */
function storedFolder(path: string, kind: keyof typeof pathPatterns): string {
  const [, folder] = pathPatterns[kind].exec(path) ?? [];
  if (folder !== undefined) return folder;
  throw new PithError("E_DATA", `The queue names "${path}", which is not in the store.`);
}

/**
 * Rejects links in a store, because they could lead to any file of this machine.
 * @param paths absolute paths. Paths that do not exist or are outside the store are not checked.
 * @throws PithError E_DATA.
 */
async function requireNoLinks(store: string, paths: readonly string[]): Promise<void> {
  const storePath = resolve(store);
  // The cache of a bucket need not exist yet.
  const root = await realpath(store).catch(() => storePath);
  const rejectLink = (path: string): never => {
    throw new PithError("E_DATA", `The store has a link: expected a file or a folder, got "${relative(root, path)}".`, {
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

/** Number of concurrent transfers. One after the other, tens of thousands of images would take too long. */
const concurrency = 16;
const objectName = (hash: string): string => `files/${hash}`;
const listName = (folderName: string): string => `${folderName}.json`;

/** A file: its path in the folder (with "/"), and its content hash. */
export type HashedFile = readonly [name: string, hash: string];

/** Returns the list of a folder's files as text. The hash of this text names the folder. */
export const listText = (files: readonly HashedFile[]): string => JSON.stringify(files);

export async function sendFolder(
  bucket: Bucket,
  folderName: string,
  files: readonly HashedFile[],
  paths: readonly string[],
): Promise<void> {
  if (await bucket.has(listName(folderName))) return;
  await forEachConcurrently([...files.entries()], async ([index, [, hash]]) => {
    if (!(await bucket.has(objectName(hash)))) await bucket.write(objectName(hash), bytesOfFile(paths[index] ?? ""));
  });
  // The list is written last, because it marks the folder as complete.
  await bucket.write(listName(folderName), [new TextEncoder().encode(listText(files))]);
}

/**
 * Copies a folder of the bucket to this machine, unless it already exists here.
 * @throws PithError E_DATA if a file is missing or does not match its hash.
 */
export async function receiveFolder(bucket: Bucket, folder: string, folderName: string): Promise<void> {
  await createFolder(join(folder, folderName), async (temporaryFolder) => {
    await forEachConcurrently(await listOf(bucket, folderName), async ([name, hash]) => {
      const path = resolve(temporaryFolder, name);
      if (!path.startsWith(temporaryFolder + sep))
        throw new PithError("E_DATA", `The store names "${name}", which leaves its folder.`);
      const bytes = await bucket.read(objectName(hash));
      if (bytes === undefined) throw missingError(objectName(hash));
      await mkdir(dirname(path), { recursive: true });
      await writeFileAtomically(path, bytes);
      if ((await fileHash(path)) !== hash) throw damagedError(objectName(hash));
    });
  });
}

async function listOf(bucket: Bucket, folderName: string): Promise<readonly HashedFile[]> {
  const text = await textOf(bucket, listName(folderName));
  if (text === undefined) throw missingError(listName(folderName));
  if (!folderName.endsWith(`/${await textHash(text)}`)) throw damagedError(listName(folderName));
  return JSON.parse(text);
}

const missingError = (name: string): PithError =>
  new PithError("E_DATA", `"${name}" is not in the bucket of the store.`);

const damagedError = (name: string): PithError =>
  new PithError("E_DATA", `"${name}" in the bucket of the store is not what its hash says.`, {
    hint: "Remove it there, and run the same command again.",
  });

async function forEachConcurrently<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const remaining = items.values();
  const next = async (): Promise<void> => {
    for (const item of remaining) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, next));
}

/**
 * Creates a folder: fills a temporary folder and renames it, so that the folder is always complete. If several processes create the same folder, that
 * of the first one is used.
 */
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
