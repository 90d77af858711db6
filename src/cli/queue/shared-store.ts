/** What several machines can read and write, a folder or a bucket: models and data by content hash, and the finished steps of searches. */
import { copyFile, mkdir, readdir, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileHash, textHash } from "../../data/file-hash.ts";
import { sidecarNames } from "../../data/sidecars.ts";
import { PithError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import type { Bucket } from "../../run/bucket-store.ts";
import { filesOf, isThere } from "../files.ts";
import type { SearchInput } from "../jobs/searching.ts";
import { requireWritableFolder } from "../writable.ts";
import { bucketPlace, openBucket, triedBucket } from "./bucket.ts";
import { type HashedFile, listText, receiveFolder, sendFolder } from "./bucket-inputs.ts";
import { wholeFolder } from "./whole-folder.ts";

export interface SharedStore {
  /** Of all machines; with a bucket of this machine, with what it has needed of it so far. */
  readonly folder: string;
  readonly bucket: { readonly address: string; readonly objects: Bucket } | undefined;
}

/** @param place a folder, or s3://bucket/prefix. @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE where nothing could be left there. */
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

/** Puts the model and the data of a search into the store. @returns the input with paths relative to the store. */
export async function shareInput<I extends SearchInput>(store: SharedStore, model: Model, input: I): Promise<I> {
  requireNoCode(input.data.path);
  const own = dirname(input.model);
  const besides = await Promise.all(
    sidecarNames.map(async (name) => ((await isThere(join(own, name))) ? [join(own, name)] : [])),
  );
  const shared = await share(store, own, [...filesOf(model, input.model), ...besides.flat()]);
  const data = resolve(input.data.path);
  const isFolder = (await stat(data)).isDirectory();
  const base = isFolder ? data : dirname(data);
  const names = await readdir(base, { recursive: isFolder });
  // Of a file those beside it may be other parts of the same data.
  const files = names
    .filter((name) => isFolder || extname(name) === extname(data))
    .map((name) => join(base, name))
    .toSorted();
  const place = await share(store, base, files);
  const path = isFolder ? place : `${place}/${basename(data)}`;
  const key = await textHash(JSON.stringify([shared, path, input.seed]));
  return {
    ...input,
    model: `${shared}/${basename(input.model)}`,
    data: { ...input.data, path },
    resumeFolder: `runs/${key}`,
  };
}

/** The input with absolute paths on this machine. @throws PithError E_DATA for a path that leaves the store, or for code. */
export function inputIn<I extends SearchInput>({ folder, bucket }: SharedStore, input: I): I {
  requireNoCode(input.data.path);
  const at = (path: string): string => {
    const found = resolve(folder, path);
    if (isAbsolute(path) || !found.startsWith(resolve(folder) + sep))
      throw new PithError("E_DATA", `The queue names "${path}", which is not in the store.`);
    return found;
  };
  const resumeFolder = at(input.resumeFolder);
  return {
    ...input,
    model: at(input.model),
    data: { ...input.data, path: at(input.data.path) },
    resumeFolder,
    bucket: bucket && `${bucket.address}/${relative(resolve(folder), resumeFolder).replaceAll(sep, "/")}`,
  };
}

/** The same, with model and data on this machine. @throws PithError as `inputIn`; E_DATA, E_FILE where a bucket does not have them. */
export async function receivedInput<I extends SearchInput>(store: SharedStore, input: I): Promise<I> {
  const found = inputIn(store, input);
  if (store.bucket === undefined) return found;
  for (const path of [input.model, input.data.path]) {
    const [place] = /^inputs\/[0-9a-f]{64}(?=\/|$)/.exec(path) ?? [];
    if (place === undefined) throw new PithError("E_DATA", `The queue names "${path}", which is no input in a store.`);
    await receiveFolder(store.bucket.objects, store.folder, place);
  }
  return found;
}

/** Puts files into a folder named by the hash of their contents. @returns the folder, relative to the store. */
async function share({ folder, bucket }: SharedStore, base: string, paths: readonly string[]): Promise<string> {
  const files: string[] = [];
  const hashed: HashedFile[] = [];
  for (const path of paths) {
    if (!(await stat(path)).isFile()) continue;
    files.push(path);
    hashed.push([relative(base, path).replaceAll(sep, "/"), await fileHash(path)]);
  }
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

/** @throws PithError E_OPTION for a data set that is a module: workers run no code from a queue. */
function requireNoCode(path: string): void {
  if (!/\.[cm]?[jt]s$/i.test(path)) return;
  throw new PithError("E_OPTION", `"${path}" is code, which workers of a queue do not run.`, {
    hint: "Write its samples to a file (docs/data.md), or search without --queue.",
  });
}
