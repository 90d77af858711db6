/** A folder that several machines can read and write: models and data by content hash, and the finished steps of searches. */
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileHash, textHash } from "../../data/file-hash.ts";
import { sidecarNames } from "../../data/sidecars.ts";
import { PithError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { filesOf, isThere } from "../files.ts";
import type { SearchInput } from "../jobs/searching.ts";

/** Copies the model and the data of a search into the store. @returns the input with paths relative to the store. */
export async function shareInput<I extends SearchInput>(store: string, model: Model, input: I): Promise<I> {
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
  const path = isFolder ? place : join(place, basename(data));
  const key = await textHash(JSON.stringify([shared, path, input.seed]));
  return {
    ...input,
    model: join(shared, basename(input.model)),
    data: { ...input.data, path },
    resumeFolder: join("runs", key),
  };
}

/** The input with absolute paths on this machine. @throws PithError E_DATA for a path that leaves the store, or for code. */
export function inputIn<I extends SearchInput>(store: string, input: I): I {
  requireNoCode(input.data.path);
  const at = (path: string): string => {
    const found = resolve(store, path);
    if (isAbsolute(path) || !found.startsWith(resolve(store) + sep))
      throw new PithError("E_DATA", `The queue names "${path}", which is not in the store.`);
    return found;
  };
  return {
    ...input,
    model: at(input.model),
    data: { ...input.data, path: at(input.data.path) },
    resumeFolder: at(input.resumeFolder),
  };
}

/** Copies files into a folder named by the hash of their contents. @returns the folder, relative to the store. */
async function share(store: string, base: string, paths: readonly string[]): Promise<string> {
  const files: (readonly [name: string, path: string])[] = [];
  const hashes: (readonly [name: string, hash: string])[] = [];
  for (const path of paths) {
    if (!(await stat(path)).isFile()) continue;
    const name = relative(base, path);
    files.push([name, path]);
    hashes.push([name, await fileHash(path)]);
  }
  const place = join("inputs", await textHash(JSON.stringify(hashes)));
  const target = join(store, place);
  if (await isThere(target)) return place;
  // Whole, or not there.
  await mkdir(dirname(target), { recursive: true });
  const unfinished = await mkdtemp(`${target}.`);
  try {
    for (const [name, path] of files) {
      await mkdir(dirname(join(unfinished, name)), { recursive: true });
      await copyFile(path, join(unfinished, name));
    }
    await rename(unfinished, target).catch(async (error: unknown) => {
      if (!(await isThere(target))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return place;
}

/** @throws PithError E_OPTION for a data set that is a module: workers run no code from a queue. */
function requireNoCode(path: string): void {
  if (!/\.[cm]?[jt]s$/i.test(path)) return;
  throw new PithError("E_OPTION", `"${path}" is code, which workers of a queue do not run.`, {
    hint: "Write its samples to a file (docs/data.md), or search without --queue.",
  });
}
