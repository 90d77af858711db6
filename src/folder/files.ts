/** Files of a folder: what is the same, and copies. */
import { fileKind, joinPath, listFolder, makeFolder, openFile, realPath, writeFileAtomically } from "#platform";
import { sha256Text } from "../data/hash.ts";
import { stopIfAsked } from "../errors.ts";

/** Copies a folder recursively. Files that are equal already are not written again; hidden files are left out. */
export async function copyFolder(
  from: string,
  to: string,
  isWanted: (path: string) => boolean,
  signal: AbortSignal,
): Promise<void> {
  if (await isSame(from, to)) return;
  const copy = async (path: string): Promise<void> => {
    for (const name of await listFolder(joinPath(from, path))) {
      const inner = path === "" ? name : `${path}/${name}`;
      const [source, target] = [joinPath(from, inner), joinPath(to, inner)];
      if (name.startsWith(".") || !isWanted(inner)) continue;
      const kind = await fileKind(source);
      if (kind === "folder" && !(await isSame(source, to))) {
        await makeFolder(target);
        await copy(inner);
      } else if (kind === "file" && !(await isCopy(source, target))) {
        stopIfAsked(signal, "Stopped on request.");
        await writeFileAtomically(target, bytesOfFile(source));
      }
    }
  };
  await copy("");
}

async function isSame(a: string, b: string): Promise<boolean> {
  return (await realPath(a)) === (await realPath(b));
}

export async function isCopy(source: string, target: string): Promise<boolean> {
  if ((await fileKind(target)) !== "file") return false;
  if ((await openFile(source)).size !== (await openFile(target)).size) return false;
  return (await fileHash(source)) === (await fileHash(target));
}

const stretch = 2 ** 22;

async function* bytesOfFile(path: string): AsyncIterable<Uint8Array> {
  const source = await openFile(path);
  for (let start = 0; start < source.size; start += stretch)
    yield source.read(start, Math.min(source.size, start + stretch));
}

/** Over the hashes of its parts of 4 MiB, so that no file need be in memory. */
export async function fileHash(path: string): Promise<string> {
  const hashes: string[] = [];
  for await (const part of bytesOfFile(path)) hashes.push(await sha256Text([part]));
  return textHash(hashes.join());
}

export function textHash(text: string): Promise<string> {
  return sha256Text([bytesOfText(text)]);
}

export function bytesOfText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
