/** Checks that a job of a queue accesses only files of its store. */
import type { Dirent } from "node:fs";
import { readdir, realpath } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { PithError } from "../../../core/errors.ts";

const name = "(?!\\.{1,2}$)[^/\\\\\\p{Cc}]+";
/** Valid paths relative to a store: models and data, and finished work. */
const forms = {
  inputs: new RegExp(`^(inputs/[0-9a-f]{64})(?:/${name})?$`, "u"),
  runs: /^(runs\/[0-9a-f]{64})$/,
};

/** @throws PithError E_DATA for a path that Pith would not create. */
export function storedFolder(path: string, kind: keyof typeof forms): string {
  const [, folder] = forms[kind].exec(path) ?? [];
  if (folder !== undefined) return folder;
  throw new PithError("E_DATA", `The queue names "${path}", which is not in the store.`);
}

/**
 * Rejects links, which could lead to any file of this machine.
 * @param paths absolute. Paths that do not exist or are outside the store are not checked.
 * @throws PithError E_DATA
 */
export async function requireNoLinks(store: string, paths: readonly string[]): Promise<void> {
  const within = resolve(store);
  // The cache of a bucket is created on demand.
  const root = await realpath(store).catch(() => within);
  const refuse = (path: string): never => {
    throw new PithError("E_DATA", `The store has a link: expected a file or a folder, got "${relative(root, path)}".`, {
      hint: "Pith writes no links into a store: remove it, and find out who made it.",
    });
  };
  const check = async (folder: string, isDeep: boolean): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch((): Dirent[] => [])) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (isDeep) await check(path, true);
      } else if (!entry.isFile()) refuse(path);
    }
  };
  const stored = paths.filter((path) => path.startsWith(within + sep)).map((path) => relative(within, path));
  for (const folder of new Set(stored.map((path) => join(root, ...path.split(sep).slice(0, 2))))) {
    const found = await realpath(folder).catch(() => folder);
    if (found !== folder) refuse(folder);
    await check(folder, true);
    // Sidecar files of a model can be in the parent folder.
    await check(dirname(folder), false);
  }
}
