/** Checks, writes and cleans output folders. A record in the folder lists the files that Pith wrote. */
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { optionError } from "#ir";
import { joinPath, makeFolder, removeFile } from "#platform";
import { copiesOf, encodings } from "../../../core/files/compressed-copies.ts";
import { textHash } from "../../../core/files/hash.ts";
import {
  type FileHashes,
  fileOfBytes,
  formatKept,
  isAuthoredFile,
  parseFileHashes,
  planWrites,
  writeOwned,
} from "../../../core/files/own-files.ts";
import { readSettings } from "../../../data/text/tokenizer.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { sensitivityKinds } from "../../../search/sensitivity/sensitivity-record.ts";
import { requireNotInput } from "./file-paths.ts";
import { requireWritableFolder } from "./writable.ts";

const modelName = "model.onnx";
export const recipeFileName = "recipe.yaml";

export function frontNames(index: number): readonly [model: string, recipe: string] {
  return [`front-${index + 1}.onnx`, `front-${index + 1}.yaml`];
}

interface FolderContents {
  readonly record: string;
  readonly mainFile?: string;
  readonly names: readonly string[];
}

export const runContents: FolderContents = {
  record: "run.json",
  mainFile: modelName,
  names: [
    modelName,
    ...copiesOf(modelName, encodings),
    "report.html",
    "report.md",
    "run.json",
    recipeFileName,
    ...[0, 1, 2].flatMap(frontNames),
  ],
};

export const sensitivityContents: FolderContents = {
  record: "sensitivity.json",
  names: ["sensitivity.json", ...sensitivityKinds.map((kind) => `${kind}.yaml`)],
};

/** Checks that results can be written. @throws PithError E_OPTION if they would overwrite inputs or files of the user; E_FILE. */
export async function requireFreeFolder(
  out: string,
  folder: FolderContents,
  inputs: readonly (readonly [what: string, path: string | undefined])[],
): Promise<void> {
  for (const name of folder.names) await requireNotInput(join(out, name), inputs);
  await requireWritableFolder(out, folder.names);
  await requireOwnResults(out, folder);
}

async function requireOwnResults(out: string, { record, mainFile: mainName }: FolderContents): Promise<void> {
  const written = await readHashes(out, record);
  const isChanged = mainName !== undefined && written !== undefined && (await isAuthoredFile(out, mainName, written));
  const name = written === undefined ? record : isChanged ? mainName : undefined;
  if (name !== undefined)
    throw optionError(`"${join(out, name)}" was not written by Pith, or was changed since, and would be overwritten.`, {
      hint: "Choose another folder with -o.",
    });
}

/**
 * Writes a record and its files, or none after an error. Files that the user edited are kept, and those of an earlier run are removed.
 * @returns the paths of the files that Pith wrote.
 */
export async function writeResults(
  out: string,
  recordContent: object,
  files: readonly (readonly [name: string, bytes: Uint8Array])[],
  { log, writes: announce }: Pick<JobContext, "log" | "writes">,
  folder: FolderContents,
): Promise<readonly string[]> {
  const { record, names } = folder;
  announce(names.map((name) => join(out, name)));
  await requireOwnResults(out, folder);
  const newFiles = await Promise.all(files.map(([path, bytes]) => fileOfBytes(path, bytes)));
  const writtenHashes = (await readHashes(out, record)) ?? new Map();
  const { writes, kept } = await planWrites(out, newFiles, writtenHashes);
  for (const path of kept) log({ id: "kept", text: formatKept(join(out, path)), level: "warning" });
  writtenHashes.set(record, [await textHash(JSON.stringify(recordContent))]);
  await makeFolder(out);
  await writeOwned(joinPath(out, record), recordContent, writtenHashes, writes);
  const newNames = new Set([...files.map(([name]) => name), record]);
  for (const name of names)
    if (writtenHashes.has(name) && !newNames.has(name) && !(await isAuthoredFile(out, name, writtenHashes)))
      await removeFile(joinPath(out, name));
  const orderedNames = [...names.filter((name) => newNames.delete(name)), ...newNames];
  return orderedNames.filter((name) => !kept.includes(name)).map((name) => joinPath(out, name));
}

/** Removes the files of an earlier run, except those that the user changed. Removes nothing if the record was changed. */
export async function removeResults(out: string, { record, names }: FolderContents): Promise<void> {
  const writtenHashes = await readHashes(out, record);
  if (writtenHashes === undefined || !writtenHashes.has(record)) return;
  for (const name of names)
    if (name === record || (writtenHashes.has(name) && !(await isAuthoredFile(out, name, writtenHashes))))
      await removeFile(joinPath(out, name));
  await rmdir(out).catch(() => {});
}

const interimSchema = v.object({
  command: v.array(v.string()),
  variants: v.array(v.object({ name: v.string() })),
  chosen: v.number(),
  search: v.object({ isInterim: v.literal(true) }),
});

/** Returns the command and the best result of an unfinished search. */
export async function readInterimResult(
  out: string,
): Promise<{ readonly command: readonly string[]; readonly name: string } | undefined> {
  const { success, output } = v.safeParse(
    interimSchema,
    await readSettings(joinPath(out, runContents.record)).catch(() => null),
  );
  const name = success ? output.variants[output.chosen]?.name : undefined;
  return name === undefined || !success ? undefined : { command: output.command, name };
}

async function readHashes(out: string, record: string): Promise<FileHashes | undefined> {
  const settings = await readSettings(joinPath(out, record)).catch(() => null);
  if (settings === undefined) return new Map();
  const { written: writtenEntry, ...content } = settings ?? {};
  const writtenHashes = parseFileHashes(writtenEntry);
  return writtenHashes.get(record)?.[0] === (await textHash(JSON.stringify(content))) ? writtenHashes : undefined;
}
