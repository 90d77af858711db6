/** Records by hashes which files of an output folder Pith wrote, so that other files are not overwritten. */

import * as v from "valibot";
import { fileKind, folderOf, joinPath, writeFilesAtomically } from "#platform";
import type { Parts } from "../platform/files.ts";
import { bytesOfText } from "../tensor/dense.ts";
import { copiesOf, encodings } from "./compressed-copies.ts";
import { bytesHash, fileHash } from "./hash.ts";

/** Hashes of the files that Pith wrote, by relative path. A file that is being replaced has its old and its new hash. */
export type FileHashes = Map<string, readonly string[]>;

const hashesSchema = v.record(v.string(), v.array(v.string()));

export function parseFileHashes(value: unknown): FileHashes {
  const parsed = v.safeParse(hashesSchema, value);
  return new Map(parsed.success ? Object.entries(parsed.output) : []);
}

export interface NewFile {
  readonly path: string;
  readonly hash: string;
  readonly parts: () => Parts;
}

export async function fileOfBytes(path: string, bytes: Uint8Array): Promise<NewFile> {
  return { path, hash: await bytesHash(bytes), parts: () => [bytes] };
}

/** Selects the files to write, and those that the folder's author has. */
export async function planWrites(
  folder: string,
  files: readonly NewFile[],
  writtenHashes: FileHashes,
): Promise<{ readonly writes: readonly NewFile[]; readonly kept: readonly string[] }> {
  const writes: NewFile[] = [];
  const keptPaths: string[] = [];
  for (const file of files) {
    const { path, hash } = file;
    const currentHash = await currentHashOf(folder, path);
    if (currentHash !== undefined && currentHash !== hash && !isWritten(writtenHashes, path, currentHash))
      keptPaths.push(path);
    else {
      writtenHashes.set(path, currentHash === undefined || currentHash === hash ? [hash] : [currentHash, hash]);
      if (currentHash !== hash) writes.push(file);
    }
  }
  return { writes, kept: keptPaths };
}

/** Writes files atomically, after the record of their folder at `path`. */
export function writeOwned(
  path: string,
  record: object,
  writtenHashes: FileHashes,
  files: readonly NewFile[],
): Promise<void> {
  const inFolder = (file: string): string => joinPath(folderOf(path), file);
  const copies = files.flatMap((file) => copiesOf(file.path, encodings)).filter((copy) => writtenHashes.has(copy));
  return writeFilesAtomically(
    [
      [path, [bytesOfText(formatJson({ ...record, written: Object.fromEntries(writtenHashes) }))]],
      ...files.map((file) => [inFolder(file.path), file.parts()] as const),
    ],
    "followed",
    copies.map(inFolder),
  );
}

export const formatJson = (content: object): string => `${JSON.stringify(content, null, 2)}\n`;

/** Returns whether a file exists that Pith did not write, or that was changed after Pith wrote it. */
export async function isAuthoredFile(folder: string, path: string, writtenHashes: FileHashes): Promise<boolean> {
  const currentHash = await currentHashOf(folder, path);
  return currentHash !== undefined && !isWritten(writtenHashes, path, currentHash);
}

export function formatKept(path: string): string {
  return `${path} stays as it is: Pith did not write it, or it was changed since`;
}

function isWritten(writtenHashes: FileHashes, path: string, hash: string): boolean {
  const hashes = writtenHashes.get(path);
  return hashes !== undefined && (hashes.length === 0 || hashes.includes(hash));
}

async function currentHashOf(folder: string, path: string): Promise<string | undefined> {
  const file = joinPath(folder, path);
  return (await fileKind(file)) === "file" ? fileHash(file) : undefined;
}
