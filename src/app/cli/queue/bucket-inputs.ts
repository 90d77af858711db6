/** Stores folders with models and data in a bucket. A file is stored under its content hash, the list of a folder's files under the list's hash. */
import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { writeFileAtomically } from "#platform";
import { PithError } from "../../../core/errors.ts";
import { bytesOfFile, fileHash, textHash } from "../../../core/files/hash.ts";
import type { Bucket } from "../../../judge/steps/bucket-store.ts";
import { exists } from "../files/files.ts";
import { textOf } from "./bucket.ts";

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
export async function createFolder(target: string, fill: (folder: string) => Promise<void>): Promise<void> {
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
