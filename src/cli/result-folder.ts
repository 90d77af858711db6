/** The folder that `pith compress` writes: model, reports and recipe, and run.json, which records what of them is Pith's. A refused run leaves the reports alone. */
import { join } from "node:path";
import { joinPath, makeFolder } from "#platform";
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
import type { Run } from "../report/index.ts";

const recordName = "run.json";
const modelName = "model.onnx";
export const recipeName = "recipe.yaml";
export const resultNames = [modelName, "report.html", "report.md", recordName, recipeName];

/** @throws PithError E_OPTION where the model or run.json would take the place of an author's: there is no result without them. */
export async function requireOwnResults(out: string): Promise<void> {
  const written = await writtenIn(out);
  const name = written === undefined ? recordName : (await isAuthored(out, modelName, written)) ? modelName : undefined;
  if (name !== undefined)
    throw new PithError(
      "E_OPTION",
      `"${join(out, name)}" would be lost: Pith did not write it, or it was changed since.`,
      { hint: "Name another folder with -o." },
    );
}

/**
 * Writes a run and its files, all or none; an author's reports and recipe stay, which is said.
 * @returns the paths of what is Pith's.
 */
export async function writeResults(
  out: string,
  run: Run,
  contents: readonly (readonly [name: string, bytes: Uint8Array])[],
  { log }: Pick<JobContext, "log">,
): Promise<readonly string[]> {
  await requireOwnResults(out);
  const files = await Promise.all(contents.map(([path, bytes]) => fileOfBytes(path, bytes)));
  const written = (await writtenIn(out)) ?? new Map();
  const { writes, kept } = await planWrites(out, files, written);
  for (const path of kept) log({ id: "kept", text: keptText(join(out, path)), level: "warning" });
  written.set(recordName, [await textHash(JSON.stringify(run))]);
  await makeFolder(out);
  await writeOwned(joinPath(out, recordName), run, written, writes);
  const names = new Set([...contents.map(([name]) => name), recordName]);
  const inOrder = [...resultNames.filter((name) => names.delete(name)), ...names];
  return inOrder.filter((name) => !kept.includes(name)).map((name) => joinPath(out, name));
}

/** What the last run wrote; undefined where run.json is not as Pith wrote it. */
async function writtenIn(out: string): Promise<FileHashes | undefined> {
  const path = joinPath(out, recordName);
  const record = await readSettings(path).catch(() => null);
  if (record === undefined) return new Map();
  const { written: recorded, ...run } = record ?? {};
  const written = parseWritten(recorded);
  return written.get(recordName)?.[0] === (await textHash(JSON.stringify(run))) ? written : undefined;
}
