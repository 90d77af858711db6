/** Makes, reuses, times or rejects the variants of a folder, and records each outcome. */
import { asPithError, errorMessage, isSystemError, PithError } from "#ir";
import { joinPath } from "#platform";
import { textHash } from "../../core/files/hash.ts";
import { formatKept } from "../../core/files/own-files.ts";
import type { DtypeName } from "../../techniques/quantize/dtypes.ts";
import { writeDescriptions, writeRecorded } from "./description-files.ts";
import { type FileDtype, type FolderModule, type FolderRun, type FolderVariant, fileOf } from "./folder-run.ts";
import { findAuthoredFile, hashModelFiles, isFileOfModel, isUnchanged, removeModel } from "./model-files.ts";
import { restoreOriginal } from "./originals.ts";
import { removeCopies } from "./precompressed.ts";
import { type FileFigures, fileFiguresOf } from "./records.ts";
import { estimateTabMemory } from "./tab-memory.ts";

const defaultFileBytes = 2e9;
const requestCodes: readonly string[] = ["E_OPTION", "E_USAGE"];

/** Rejects a file whose work failed. @throws the error if the run was stopped, or the system fails. */
export async function rejectFailed(run: FolderRun, file: string, dtype: FileDtype, error: unknown): Promise<void> {
  const isKnown = error instanceof PithError;
  if (isSystemError(error) || (isKnown && error.code === "E_STOPPED")) throw error;
  if (isKnown && requestCodes.includes(error.code)) run.invalidRequest ??= error;
  await rejectFile(run, file, dtype, isKnown ? error.message : `internal: ${errorMessage(error)}`);
}

export async function makeFile(
  run: FolderRun,
  { base, source, hash }: FolderModule,
  dtype: DtypeName,
  { jointCheck, fallback }: Pick<FolderVariant, "jointCheck" | "fallback"> = {},
): Promise<void> {
  const { out, options, context, records, rows, written } = run;
  const { judgedBy } = options;
  const { fileBytes = defaultFileBytes } = options;
  const file = fileOf(base, dtype);
  const settings = { ...options.settings, ...options.quantize, dtype, fileBytes, seed: context.seed };
  const madeFrom = await sourcesHash(run, hash, settings);
  const earlierRecord = records.get(file);
  if (earlierRecord?.made_from === madeFrom && (await isUnchanged(out, file, written))) {
    // The file is checked in transformers.js again, because another file could have been missing.
    rows.set(file, { dtype, file, ...fileFiguresOf(earlierRecord), loader: undefined, verdict: "there" });
    return;
  }
  const authoredFile = await findAuthoredFile(out, file, written);
  if (authoredFile !== undefined) {
    const keptText = formatKept(authoredFile === file ? "it" : authoredFile);
    return rejectFile(run, file, dtype, `${keptText}. Remove it, or write to another folder.`);
  }
  const { originalBrotli, originalSampled } =
    [...records.values()].find((record) => record.source_hash === hash && record.originalBrotli !== undefined) ?? {};
  // The record is removed first, because the process can be killed before it records the new file.
  await removeCopies(run, file);
  if (forgetFile(run, file)) await writeRecorded(run, []);
  try {
    const result = await run.make({
      source,
      out: joinPath(out, file),
      dtype,
      fileBytes,
      jointCheck,
      fallback,
      originalBrotli,
      originalSampled,
    });
    for (const [path, hashes] of await hashModelFiles(out, file)) written.set(path, hashes);
    const record = { dtype, source: `onnx/${base}.onnx`, source_hash: hash, made_from: madeFrom, judged_by: judgedBy };
    const figures = {
      ...result,
      ...(await estimateTabMemory(joinPath(out, file), result.bytes)),
      ...(run.check === undefined ? {} : { loader: { outcome: "not checked" } as const }),
    };
    records.set(file, { ...record, ...figures });
    rows.set(file, { dtype, file, ...figures, verdict: "kept" });
  } catch (error) {
    await rejectFailed(run, file, dtype, error);
  }
}

/** Returns a hash of what determines a variant's file. @param hash hash of the original. */
export function sourcesHash({ sidecarHashes, options }: FolderRun, hash: string, settings: object): Promise<string> {
  return textHash(JSON.stringify([hash, sidecarHashes, options.judgedBy, settings]));
}

export async function timeFile(run: FolderRun, { base, source }: FolderModule, dtype: FileDtype): Promise<void> {
  const { out, options, records, context } = run;
  const file = fileOf(base, dtype);
  const record = records.get(file);
  if (options.time === undefined || record === undefined || record.speeds !== undefined) return;
  const { speeds = [], work } = await options.time({ source, out: joinPath(out, file) }).catch((error: unknown) => {
    context.log({ id: "time", text: `${file} was not timed: ${asPithError(error).message}`, level: "warning" });
    return { speeds: [], work: undefined };
  });
  if (speeds.length === 0 && work === undefined) return;
  recordFigures(run, file, { ...(speeds.length === 0 ? {} : { speeds }), work });
  await writeDescriptions(run);
}

function forgetFile({ records, written }: FolderRun, file: string): boolean {
  const paths = [...written.keys()].filter((path) => isFileOfModel(file, path));
  for (const path of paths) written.delete(path);
  return records.delete(file) || paths.length > 0;
}

/** Removes a model, unless the user wrote it. */
export async function removeResult(run: FolderRun, file: string): Promise<void> {
  const { out, records, written, modules } = run;
  const module = modules.find(({ base }) => fileOf(base, "searched") === file);
  await removeCopies(run, file);
  if (module !== undefined) return restoreOriginal(run, module);
  if ((await findAuthoredFile(out, file, written)) !== undefined) return void records.delete(file);
  await removeModel(out, file);
  forgetFile(run, file);
}

export async function rejectFile(run: FolderRun, file: string, dtype: FileDtype, reason: string): Promise<void> {
  await removeResult(run, file);
  run.rows.set(file, { dtype, file, verdict: "rejected", reason });
}

export function recordFigures(
  { records, rows }: FolderRun,
  file: string,
  figures: Partial<Pick<FileFigures, "together" | "loader" | "speeds" | "work">>,
): void {
  const [row, record] = [rows.get(file), records.get(file)];
  if (row === undefined || record === undefined) return;
  rows.set(file, { ...row, ...figures, ...(figures.loader?.outcome === "fails" ? { verdict: "unusable" } : {}) });
  records.set(file, { ...record, ...figures });
}
