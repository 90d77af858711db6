/** Checks before long work that its results can be written, by writing and removing empty files. */
import { open, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileError, optionError } from "#ir";
import { makeFolder } from "#platform";
import { asFileError } from "../../../core/platform/node-file-errors.ts";
import { tryToWrite } from "../../../core/platform/node-write.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import { exists, isFolder } from "./file-paths.ts";

export async function requireWritable(path: string): Promise<void> {
  await requireFilePath(path);
  await tryToWrite(path);
}

export async function requireAppendable(path: string): Promise<void> {
  await requireFilePath(path);
  const isNew = !(await exists(path));
  const handle = await open(path, "a").catch((cause) => {
    throw asFileError(`"${path}" cannot be written`, cause);
  });
  await handle.close();
  if (isNew) await rm(path, { force: true });
}

/** Checks a folder. @throws PithError E_FILE if it could not contain files of these names. */
export async function requireWritableFolder(path: string, names: readonly string[]): Promise<void> {
  requireNotStdout(path);
  const newFolders = await missingFolders(path);
  if (newFolders.length > 0 && /\.onnx$/i.test(path))
    throw fileError(`"${path}" is the name of a file: the results go into a folder.`, {
      hint: `Name the folder: ${path.slice(0, -".onnx".length)}.`,
    });
  try {
    await makeFolder(path);
    try {
      for (const name of names) await tryToWrite(join(path, name));
    } catch (error) {
      if (await exists(path)) throw error;
      // Another process that checked the same folder has removed it, so it is created again.
      await requireWritableFolder(path, names);
    }
  } finally {
    // Only empty folders are removed, because another process can already use them.
    for (const folder of newFolders) await rmdir(folder).catch(() => {});
  }
}

async function missingFolders(path: string): Promise<readonly string[]> {
  const folders: string[] = [];
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const stats = await stat(folder).catch(() => undefined);
    if (stats?.isDirectory() === true) return folders;
    if (stats === undefined && dirname(folder) !== folder) {
      folders.push(folder);
      continue;
    }
    const subject = folder === resolve(path) ? `"${path}"` : `In "${path}" "${folder}"`;
    throw fileError(`${subject} is a file: the results go into a folder.`);
  }
}

function requireNotStdout(path: string): void {
  if (path !== "-") return;
  throw optionError("Results are written to files, not to standard output (-).", { hint: "Name a file." });
}

async function requireFilePath(path: string): Promise<void> {
  requireNotStdout(path);
  if (path === "") throw fileError("A file without a name cannot be written.");
  const folder = dirname(path);
  if (!(await isFolder(folder)))
    throw fileError(`"${path}" cannot be written: the folder "${folder}" does not exist.`, {
      hint: `Make the folder first: mkdir -p ${quoteWord(folder)}.`,
    });
  if (await isFolder(path))
    throw fileError(`"${path}" cannot be written: it is a folder.`, {
      hint: `Name the file: ${join(path, "model.onnx")}.`,
    });
  if (/[/\\]$/.test(path))
    throw fileError(`"${path}" cannot be written: that is the name of a folder, not of a file.`, {
      hint: `There is no such folder; a file in this one would be ${join(folder, basename(path))}.onnx.`,
    });
}
