/** A folder or bucket shared by several machines. It contains models and data under content hashes, and finished work. */
import { copyFile, mkdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileHash, textHash } from "../../../core/files/hash.ts";
import { locationsOf } from "../../../core/onnx/data-files.ts";
import { sidecarsOf } from "../../../data/sidecars/sidecars.ts";
import { dataFiles } from "../../../data/sources/open.ts";
import type { Bucket } from "../../../judge/steps/bucket-store.ts";
import { requireWritableFolder } from "../writable.ts";
import { bucketPlace, openBucket, triedBucket } from "./bucket.ts";
import { type HashedFile, listText, receiveFolder, sendFolder } from "./bucket-inputs.ts";
import { withModules } from "./input-modules.ts";
import type { SharedInput } from "./inputs.ts";
import { isCode, nameInJobs, type Rename } from "./modules.ts";
import { requireNoLinks, storedFolder } from "./stored-files.ts";
import { wholeFolder } from "./whole-folder.ts";

export interface SharedStore {
  /** The shared folder; for a bucket, a local cache of it. */
  readonly folder: string;
  readonly bucket: { readonly address: string; readonly objects: Bucket } | undefined;
}

/** @param place a folder, or s3://bucket/prefix. @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE if it is not writable. */
export async function openSharedStore(place: string): Promise<SharedStore> {
  if (bucketPlace(place) === undefined) {
    await requireWritableFolder(place, []);
    return { folder: place, bucket: undefined };
  }
  const objects = await openBucket(place);
  const caches = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(caches, "pith", "stores", await triedBucket(objects));
  await requireWritableFolder(folder, []);
  return { folder, bucket: { address: place.replace(/\/$/, ""), objects } };
}

/** The name is relative to a folder of the store, with "/". */
type NamedFile = readonly [name: string, path: string];

/**
 * Copies the files of the model and the data of a job into the store, but no modules.
 * @param onFiles receives their names before anything is copied.
 * @returns the input with paths relative to the store, and modules by hash.
 * @throws PithError E_OPTION if a worker must not run the job.
 */
export async function shareInput<I extends SharedInput>(
  store: SharedStore,
  given: I,
  onFiles: (names: readonly string[]) => void,
): Promise<I> {
  const input = await withModules(given, nameInJobs);
  const modelFiles = await filesOfModel(input.model);
  const data = isCode(input.data.path) ? undefined : await filesOfData(input.data.path);
  onFiles([...modelFiles, ...(data?.files ?? [])].map(([name]) => name));
  const shared = await share(store, modelFiles);
  const path = data === undefined ? input.data.path : `${await share(store, data.files)}${data.suffix}`;
  const key = await textHash(JSON.stringify([shared, path, input.seed]));
  return {
    ...input,
    model: `${shared}/${basename(input.model)}`,
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

/** Returns the files, and the suffix that leads from their folder to the path of the data. */
async function filesOfData(path: string): Promise<{ readonly files: readonly NamedFile[]; readonly suffix: string }> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const folder = isFolder ? path : dirname(path);
  const files = (await dataFiles(path)).map((file): NamedFile => [relative(folder, file).replaceAll(sep, "/"), file]);
  return { files, suffix: isFolder ? "" : `/${basename(path)}` };
}

const inputFolders = ({ model, data }: SharedInput): readonly string[] =>
  [model, ...(isCode(data.path) ? [] : [data.path])].map((path) => storedFolder(path, "inputs"));

/** Makes paths absolute, except modules. @throws PithError E_DATA for a path that is not in the store. */
export function inputIn<I extends SharedInput>({ folder, bucket }: SharedStore, input: I): I {
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
 * Prepares a job on a worker: downloads model and data and makes paths absolute.
 * @param ownModule maps a module of a job to a local file. @throws PithError for an unknown module.
 * @throws PithError as `withModules` and `inputIn`; E_DATA, E_FILE if a bucket lacks the files.
 */
export async function receivedInput<I extends SharedInput>(store: SharedStore, job: I, ownModule: Rename): Promise<I> {
  const input = await withModules(job, ownModule);
  const received = inputIn(store, input);
  if (store.bucket !== undefined)
    for (const folder of inputFolders(input)) await receiveFolder(store.bucket.objects, store.folder, folder);
  await requireStored(received);
  return received;
}

/** Checks again, when model and data are opened, that a job stays in its store. @throws PithError E_DATA */
export async function requireStored({ store, model, data, resumeFolder }: SharedInput): Promise<void> {
  if (store !== undefined) await requireNoLinks(store, [model, data.path, resumeFolder]);
}

/** Copies files into a folder named by their content hash. @returns the folder, relative to the store. */
async function share({ folder, bucket }: SharedStore, named: readonly NamedFile[]): Promise<string> {
  const files = named.map(([, path]) => path);
  const hashed: HashedFile[] = [];
  for (const [name, path] of named) hashed.push([name, await fileHash(path)]);
  const place = `inputs/${await textHash(listText(hashed))}`;
  if (bucket !== undefined) {
    await sendFolder(bucket.objects, place, hashed, files);
    return place;
  }
  await wholeFolder(join(folder, place), async (unfinished) => {
    for (const [at, [name]] of hashed.entries()) {
      await mkdir(dirname(join(unfinished, name)), { recursive: true });
      await copyFile(files[at] ?? "", join(unfinished, name));
    }
  });
  return place;
}
