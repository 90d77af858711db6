/** A folder that several machines reach: models and data under the hash of what is in them, and what searches have done. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileHash } from "../../data/file-hash.ts";
import { sidecarNames } from "../../data/sidecars.ts";
import { PithError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { filesOf, isThere } from "../files.ts";
import type { SearchInput } from "../jobs/searching.ts";

/** Copies what a search reads into a store. @returns the same input, its paths below the store. */
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
  const key = createHash("sha256")
    .update(JSON.stringify([shared, path, input.seed]))
    .digest("hex");
  return {
    ...input,
    model: join(shared, basename(input.model)),
    data: { ...input.data, path },
    resumeFolder: join("runs", key),
  };
}

/** The same input, with the paths of this machine. @throws PithError E_DATA for a path that leaves the store, or for code. */
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

/** Files under the hash of what is in them. @returns their folder, below the store. */
async function share(store: string, base: string, paths: readonly string[]): Promise<string> {
  const files: (readonly [name: string, path: string])[] = [];
  const hash = createHash("sha256");
  for (const path of paths) {
    if (!(await stat(path)).isFile()) continue;
    const name = relative(base, path);
    files.push([name, path]);
    hash.update(`${name}\n${await fileHash(path)}\n`);
  }
  const place = join("inputs", hash.digest("hex"));
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
