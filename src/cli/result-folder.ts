/**
 * The folders that `pith compress` and `pith sensitivity` write: results, and a record of them, which says what of them is Pith's. A refused run of `compress`
 * leaves the reports alone.
 */
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { joinPath, makeFolder, removeFile } from "#platform";
import { textHash } from "../data/file-hash.ts";
import {
  type FileHashes,
  fileOfBytes,
  isAuthored,
  keptText,
  parseWritten,
  planWrites,
  writeOwned,
} from "../data/own-files.ts";
import { readSettings } from "../data/tokenizer.ts";
import { PithError } from "../errors.ts";
import type { JobContext } from "../job/job.ts";
import { sensitivityKinds } from "../report/sensitivity.ts";
import { requireOther } from "./files.ts";
import { requireWritableFolder } from "./writable.ts";

const modelName = "model.onnx";
export const recipeFileName = "recipe.yaml";

/** The other models of a front, and their recipes. */
export function frontNames(place: number): readonly [model: string, recipe: string] {
  return [`front-${place + 1}.onnx`, `front-${place + 1}.yaml`];
}

interface ResultFolder {
  readonly record: string;
  /** The file without which there is no result, beside the record. */
  readonly needed?: string;
  readonly names: readonly string[];
}

export const runFolder: ResultFolder = {
  record: "run.json",
  needed: modelName,
  names: [modelName, "report.html", "report.md", "run.json", recipeFileName, ...[0, 1, 2].flatMap(frontNames)],
};

export const sweptFolder: ResultFolder = {
  record: "sensitivity.json",
  names: ["sensitivity.json", "sensitivity.html", ...sensitivityKinds.map((kind) => `${kind}.yaml`)],
};

/** @throws PithError E_OPTION where results would take the place of what is read or of an author's files; E_FILE where they cannot be written. */
export async function requireFreeFolder(
  out: string,
  folder: ResultFolder,
  inputs: readonly (readonly [what: string, path: string | undefined])[],
): Promise<void> {
  for (const name of folder.names) await requireOther(join(out, name), inputs);
  await requireWritableFolder(out, folder.names);
  await requireOwnResults(out, folder);
}

/** @throws PithError E_OPTION where the record, or a file without which there is no result, would take the place of an author's. */
async function requireOwnResults(out: string, { record, needed }: ResultFolder): Promise<void> {
  const written = await writtenIn(out, record);
  const isTaken = needed !== undefined && written !== undefined && (await isAuthored(out, needed, written));
  const name = written === undefined ? record : isTaken ? needed : undefined;
  if (name !== undefined)
    throw new PithError(
      "E_OPTION",
      `"${join(out, name)}" was not written by Pith, or was changed since, and would be overwritten.`,
      { hint: "Choose another folder with -o." },
    );
}

/**
 * Writes a record and the files of its results, all or none; an author's reports and recipes stay, which is said. What an earlier run has left there that this one
 * does not write goes.
 * @returns the paths of what is Pith's.
 */
export async function writeResults(
  out: string,
  said: object,
  contents: readonly (readonly [name: string, bytes: Uint8Array])[],
  { log }: Pick<JobContext, "log">,
  folder: ResultFolder,
): Promise<readonly string[]> {
  const { record, names } = folder;
  await requireOwnResults(out, folder);
  const files = await Promise.all(contents.map(([path, bytes]) => fileOfBytes(path, bytes)));
  const written = (await writtenIn(out, record)) ?? new Map();
  const { writes, kept } = await planWrites(out, files, written);
  for (const path of kept) log({ id: "kept", text: keptText(join(out, path)), level: "warning" });
  written.set(record, [await textHash(JSON.stringify(said))]);
  await makeFolder(out);
  await writeOwned(joinPath(out, record), said, written, writes);
  const all = new Set([...contents.map(([name]) => name), record]);
  for (const name of names)
    if (written.has(name) && !all.has(name) && !(await isAuthored(out, name, written)))
      await removeFile(joinPath(out, name));
  const inOrder = [...names.filter((name) => all.delete(name)), ...all];
  return inOrder.filter((name) => !kept.includes(name)).map((name) => joinPath(out, name));
}

/** Removes what was written to a folder of results and is still as Pith wrote it, and the folder where nothing else is in it. */
export async function removeResults(out: string, { record, names }: ResultFolder): Promise<void> {
  const written = await writtenIn(out, record);
  if (written === undefined || !written.has(record)) return;
  for (const name of names)
    if (name === record || (written.has(name) && !(await isAuthored(out, name, written))))
      await removeFile(joinPath(out, name));
  await rmdir(out).catch(() => {});
}

const interim = v.object({
  command: v.array(v.string()),
  variants: v.array(v.object({ name: v.string() })),
  chosen: v.number(),
  search: v.object({ isInterim: v.literal(true) }),
});

/** What an unfinished search has written to a folder: its command, and the name of its best result. Undefined for a finished one. */
export async function interimIn(
  out: string,
): Promise<{ readonly command: readonly string[]; readonly name: string } | undefined> {
  const { success, output } = v.safeParse(
    interim,
    await readSettings(joinPath(out, runFolder.record)).catch(() => null),
  );
  const name = success ? output.variants[output.chosen]?.name : undefined;
  return name === undefined || !success ? undefined : { command: output.command, name };
}

/** What was written last; undefined where the record is not as Pith wrote it. */
async function writtenIn(out: string, record: string): Promise<FileHashes | undefined> {
  const found = await readSettings(joinPath(out, record)).catch(() => null);
  if (found === undefined) return new Map();
  const { written: recorded, ...said } = found ?? {};
  const written = parseWritten(recorded);
  return written.get(record)?.[0] === (await textHash(JSON.stringify(said))) ? written : undefined;
}
